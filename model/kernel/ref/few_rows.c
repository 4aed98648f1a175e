/*
 * A few rows times a matrix of weights, which stream from memory once.
 *
 * Sums run in lanes, all of them in one order whatever the numbers of rows and columns at hand, so
 * that a row's results do not depend on the rows beside it, nor on how columns are shared out. This
 * file alone is compiled with fused multiply-add where the CPU has it: every way through it fuses
 * the same operations.
 */
#include <string.h>

#include "model/kernel/ref/set.h"

#if defined(__AVX512F__)
enum { LANE_BYTES = 64 };
#elif defined(__AVX__)
enum { LANE_BYTES = 32 };
#else
enum { LANE_BYTES = 16 };
#endif
enum { LANES = LANE_BYTES / sizeof(rn_real), ROWS = 4, COLS = 4 };

/* Columns are read side by side, which is no order that a CPU foresees: weights are asked for so
 * far ahead, in the order in which they lie in memory. */
enum { AHEAD = 8192 / sizeof(rn_real) };

enum { QUAD_BYTES = 16, QUADS = LANE_BYTES / QUAD_BYTES, IN_QUAD = QUAD_BYTES / sizeof(rn_real) };

typedef rn_real lanes __attribute__((vector_size(LANE_BYTES)));
typedef rn_real quad __attribute__((vector_size(QUAD_BYTES)));

static inline void load(const rn_real *from, int count, lanes *to) {
  if (count == LANES) {
    memcpy(to, from, LANE_BYTES);
    return;
  }
  *to = (lanes){0};
  memcpy(to, from, (size_t)count * sizeof *from);
}

static inline rn_real sum_of(const lanes *x) {
  quad part[QUADS];
  rn_real last[IN_QUAD];
  memcpy(part, x, sizeof part);
  for (int width = QUADS / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; l++) part[l] += part[l + width];
  }
  memcpy(last, part, sizeof last);
  for (int width = IN_QUAD / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; l++) last[l] += last[l + width];
  }
  return last[0];
}

/* The operands of a product; ld as in the table. */
typedef struct product {
  int k;
  const rn_real *x, *w;
  int64_t ldx, ldw, ldy;
  rn_real beta;
  rn_real *y;
} product;

static inline void put(const product *p, int row, int col, rn_real sum) {
  rn_real *y = p->y + row * p->ldy + col;
  *y = p->beta != 0 ? p->beta * *y + sum : sum;
}

/* `count` summands, from `at` on, of all sums of a block. */
__attribute__((always_inline)) static inline void add_lanes(const product *p, int rows, int cols,
                                                            int at, int count, lanes (*sum)[COLS]) {
  lanes w[COLS], x;
#pragma GCC unroll 4
  for (int j = 0; j < cols; j++) {
    load(p->w + j * p->ldw + at, count, &w[j]);
    __builtin_prefetch(p->w + AHEAD + at * cols + j * LANES);
  }
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++) {
    load(p->x + i * p->ldx + at, count, &x);
#pragma GCC unroll 4
    for (int j = 0; j < cols; j++) sum[i][j] += x * w[j];
  }
}

/* A block of rows and columns, both numbers known to the compiler. */
__attribute__((always_inline)) static inline void block(const product *p, int rows, int cols) {
  lanes sum[ROWS][COLS] = {0};
  int at = 0;
  for (; at + LANES <= p->k; at += LANES) add_lanes(p, rows, cols, at, LANES, sum);
  if (at < p->k) add_lanes(p, rows, cols, at, p->k - at, sum);
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++) {
#pragma GCC unroll 4
    for (int j = 0; j < cols; j++) put(p, i, j, sum_of(&sum[i][j]));
  }
}

/* All rows times `cols` columns, which stay in cache meanwhile. */
__attribute__((always_inline)) static inline void columns(const product *p, int m, int cols) {
  product part = *p;
  int left = m;
  for (; left >= ROWS; left -= ROWS) {
    block(&part, ROWS, cols);
    part.x += ROWS * part.ldx;
    part.y += ROWS * part.ldy;
  }
  if (left == 3) block(&part, 3, cols);
  if (left == 2) block(&part, 2, cols);
  if (left == 1) block(&part, 1, cols);
}

static double wide_dot(int k, const rn_real *x, const rn_real *w) {
  double sum = 0;
  for (int l = 0; l < k; l++) sum += (double)x[l] * (double)w[l];
  return sum;
}

static void short_sums(const product *p, int m, int n) {
  for (int j = 0; j < n; j++) {
    for (int i = 0; i < m; i++) {
      put(p, i, j, (rn_real)wide_dot(p->k, p->x + i * p->ldx, p->w + j * p->ldw));
    }
  }
}

static void few_rows(int m, int n, int k, const rn_real *x, int64_t ldx, const rn_real *w,
                     int64_t ldw, rn_real beta, rn_real *y, int64_t ldy) {
  product p = {k, x, w, ldx, ldw, ldy, beta, y};
  if (k <= RN_SHORT_SUM) {
    short_sums(&p, m, n);
    return;
  }
  int col = 0;
  for (; col + COLS <= n; col += COLS) {
    columns(&p, m, COLS);
    p.w += COLS * ldw;
    p.y += COLS;
  }
  for (; col < n; col++) {
    columns(&p, m, 1);
    p.w += ldw;
    p.y++;
  }
}

void RN_SET(rn_enter_few_rows)(rn_kernels *table) {
  table->few_rows = few_rows;
}
