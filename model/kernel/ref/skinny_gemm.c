/*
 * Computes the product of a few rows and a matrix of weights. Each weight is read from memory once.
 *
 * Sums are computed in lanes, in an order that does not depend on the number of rows or columns.
 * The results of a row therefore do not depend on the other rows, or on how the columns are split
 * over threads:
 *
 *   lane[l] = sum over i of x[l + i RN_VEC] w[l + i RN_VEC]   with fused multiply-adds, in order of
 * i y = beta y + sum of the lanes     the product and the sum are each rounded
 */
#include <string.h>

#include "model/base/array.h"
#include "model/kernel/ref/lanes.h"
#include "model/kernel/ref/set.h"

enum { ROWS = 4, COLS = 4 };

/* Prefetch distances. With one row of x, the rows of w are read one by one, in memory order; the
 * distance is large enough for a prefetch into L2, but less than a page. With more rows of x,
 * several rows of w are read in parallel; the hardware prefetcher does not recognize this, so the
 * code prefetches in memory order. */
enum { AHEAD_BYTES = 3072, AHEAD_SIDE_BY_SIDE_BYTES = 8192 };

static inline void load(const rn_real *from, int count, rn_vec *to) {
  if (count == RN_VEC) {
    memcpy(to, from, sizeof *to);
    return;
  }
  *to = (rn_vec){0};
  memcpy(to, from, (size_t)count * sizeof *from);
}

/* RN_VEC bf16 values; a bf16 is the upper half of a float. */
typedef uint16_t halves __attribute__((vector_size(RN_VEC * sizeof(uint16_t))));
typedef uint32_t words __attribute__((vector_size(RN_VEC * sizeof(uint32_t))));
typedef float floats __attribute__((vector_size(RN_VEC * sizeof(float))));

static inline void widen(const rn_bf16 *from, int count, rn_vec *to) {
  halves bf16 = {0};
  floats value;
  memcpy(&bf16, from, (size_t)count * sizeof *from);
  const words bits = __builtin_convertvector(bf16, words) << 16;
  memcpy(&value, &bits, sizeof value);
  *to = __builtin_convertvector(value, rn_vec);
}

/* The operands of a product; ld* are the row strides. */
typedef struct gemm {
  int k;
  const rn_real *x;
  rn_array w;
  int64_t ldx, ldw, ldy;
  rn_real beta;
  rn_real *y;
} gemm;

static inline void put(const gemm *p, int row, int col, rn_real sum) {
  rn_real *y = p->y + row * p->ldy + col;
  *y = p->beta != 0 ? p->beta * *y + sum : sum;
}

/* Adds `count` products, starting at element `at`, to all sums of a block. */
__attribute__((always_inline)) static inline void add_lanes(const gemm *p, bool bf16, int rows,
                                                            int cols, int at, int count,
                                                            rn_vec (*sum)[COLS]) {
  const rn_real *reals = p->w.at;
  const rn_bf16 *bf16s = p->w.at;
  rn_vec w[COLS], x;
#pragma GCC unroll 4
  for (int j = 0; j < cols; j++) {
    if (bf16) {
      widen(bf16s + j * p->ldw + at, count, &w[j]);
    } else {
      load(reals + j * p->ldw + at, count, &w[j]);
    }
    if (cols == 1) {
      __builtin_prefetch((const char *)p->w.at + AHEAD_BYTES + at * (int)rn_element_bytes(bf16), 0,
                         2);
    } else {
      __builtin_prefetch((const char *)p->w.at + AHEAD_SIDE_BY_SIDE_BYTES +
                         (at * cols + j * RN_VEC) * (int)rn_element_bytes(bf16));
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++) {
    load(p->x + i * p->ldx + at, count, &x);
#pragma GCC unroll 4
    for (int j = 0; j < cols; j++) rn_vec_fma(&x, &w[j], &sum[i][j]);
  }
}

/* Computes a block of y; the numbers of rows and columns are compile-time constants. */
__attribute__((always_inline)) static inline void block(const gemm *p, bool bf16, int rows,
                                                        int cols) {
  rn_vec sum[ROWS][COLS] = {0};
  int at = 0;
  /* The loop is unrolled by two, because its speed then does not depend on the alignment of the
   * code. */
  for (; cols == 1 && at + 2 * RN_VEC <= p->k; at += 2 * RN_VEC) {
    add_lanes(p, bf16, rows, cols, at, RN_VEC, sum);
    add_lanes(p, bf16, rows, cols, at + RN_VEC, RN_VEC, sum);
  }
  for (; at + RN_VEC <= p->k; at += RN_VEC) add_lanes(p, bf16, rows, cols, at, RN_VEC, sum);
  if (at < p->k) add_lanes(p, bf16, rows, cols, at, p->k - at, sum);
#pragma GCC unroll 4
  for (int i = 0; i < rows; i++) {
#pragma GCC unroll 4
    for (int j = 0; j < cols; j++) put(p, i, j, rn_vec_sum(&sum[i][j]));
  }
}

/* Computes `cols` columns of y for all rows; the weights stay in cache. */
__attribute__((always_inline)) static inline void columns(const gemm *p, bool bf16, int m,
                                                          int cols) {
  gemm part = *p;
  int left = m;
  for (; left >= ROWS; left -= ROWS) {
    block(&part, bf16, ROWS, cols);
    part.x += ROWS * part.ldx;
    part.y += ROWS * part.ldy;
  }
  if (left == 3) block(&part, bf16, 3, cols);
  if (left == 2) block(&part, bf16, 2, cols);
  if (left == 1) block(&part, bf16, 1, cols);
}

static double dot_fp64(int k, const rn_real *x, rn_array w) {
  double sum = 0;
  for (int l = 0; l < k; l++) sum += (double)x[l] * (double)rn_array_value(w, l);
  return sum;
}

static void fp64_sums(const gemm *p, int m, int n) {
  for (int j = 0; j < n; j++) {
    for (int i = 0; i < m; i++) {
      put(p, i, j, (rn_real)dot_fp64(p->k, p->x + i * p->ldx, rn_array_from(p->w, j * p->ldw)));
    }
  }
}

__attribute__((always_inline)) static inline void all_columns(gemm p, bool bf16, int m, int n) {
  int col = 0;
  for (; m > 1 && col + COLS <= n; col += COLS) {
    columns(&p, bf16, m, COLS);
    p.w = rn_array_from(p.w, COLS * p.ldw);
    p.y += COLS;
  }
  for (; col < n; col++) {
    columns(&p, bf16, m, 1);
    p.w = rn_array_from(p.w, p.ldw);
    p.y++;
  }
}

static void skinny_gemm(int m, int n, int k, const rn_real *x, int64_t ldx, rn_array w, int64_t ldw,
                        rn_real beta, rn_real *y, int64_t ldy) {
  const gemm p = {k, x, w, ldx, ldw, ldy, beta, y};
  if (k <= RN_FP64_SUM_MAX) {
    fp64_sums(&p, m, n);
  } else if (w.bf16) {
    all_columns(p, true, m, n);
  } else {
    all_columns(p, false, m, n);
  }
}

void RN_SET(rn_enter_skinny_gemm)(rn_kernels *table) {
  table->skinny_gemm = skinny_gemm;
}
