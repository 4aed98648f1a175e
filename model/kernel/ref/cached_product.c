/* Computes products of operands that are in cache, for example the blocks of scores of attention. A
 * tile of c stays in registers while its sums are computed. */
#include <string.h>

#include "model/kernel/ref/lanes.h"
#include "model/kernel/ref/pairs.h"
#include "model/kernel/ref/set.h"

/* The size of a tile: ROWS x VECS vectors of sums, VECS vectors of `b` and one vector of `a` must
 * fit into the registers, of which there are 32 with AVX-512 and on ARM, otherwise 16. */
#if defined(__AVX512F__) || defined(__aarch64__)
enum { ROWS = 8, VECS = 2 };
#else
enum { ROWS = 4, VECS = 2 };
#endif

/* A product of either type. An element of a or b is an rn_real or, with `pairs`, a pair of bf16
 * numbers. Element (i, l) of a is at a[row * i + col * l]; row and col count rn_real or, with
 * `pairs`, single bf16 numbers. */
typedef struct product {
  bool pairs;
  int m, n, k;
  const void *a;
  int64_t row, col;
  const void *b;
  int64_t ldb;
  bool add;
  rn_real *c;
  int64_t ldc;
} product;

/* Pointers to the first elements of `a`, `b` and `c` that a tile uses. */
typedef struct tile {
  const char *a, *b;
  rn_real *c;
} tile;

#define INLINE __attribute__((always_inline)) static inline

INLINE int64_t unit_bytes(const product *p) {
  return p->pairs ? sizeof(rn_bf16) : sizeof(rn_real);
}

INLINE int64_t element_bytes(const product *p) {
  return p->pairs ? sizeof(rn_bf16_pair) : sizeof(rn_real);
}

/* Loads the first `count` elements of a vector; sets the other elements to 0. */
INLINE rn_vec load(const void *from, int count) {
  rn_vec x = {0};
  if (count == RN_VEC) {
    memcpy(&x, from, sizeof x);
  } else {
    memcpy(&x, from, (size_t)count * sizeof(rn_real));
  }
  return x;
}

/* Adds the product of an element of a and a vector of b to a sum. */
INLINE void add_product(bool pairs, const char *a, const rn_vec *b, rn_vec *sum) {
#ifndef RN_REAL_F64
  if (pairs) {
    rn_bf16_pair pair;
    memcpy(&pair, a, sizeof pair);
    rn_vec_add_pairs(pair, b, sum);
    return;
  }
#endif
  rn_real number;
  (void)pairs;
  memcpy(&number, a, sizeof number);
  const rn_vec x = number - (rn_vec){0};
  rn_vec_fma(&x, b, sum);
}

/* Computes a tile of `rows` rows and `vecs` vectors, the last of which has `count` elements. */
INLINE void compute(const product *p, tile t, int rows, int vecs, int count) {
  const int64_t unit = unit_bytes(p), element = element_bytes(p);
  rn_vec sum[ROWS][VECS] = {0};
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
    for (int v = 0; v < vecs; v++) {
      if (p->add) sum[i][v] = load(t.c + i * p->ldc + v * RN_VEC, v + 1 < vecs ? RN_VEC : count);
    }
  }
  for (int l = 0; l < p->k; l++) {
    rn_vec b[VECS];
#pragma GCC unroll 2
    for (int v = 0; v < vecs; v++) {
      b[v] = load(t.b + (l * p->ldb + v * RN_VEC) * element, v + 1 < vecs ? RN_VEC : count);
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
      const char *a = t.a + (i * p->row + l * p->col) * unit;
#pragma GCC unroll 2
      for (int v = 0; v < vecs; v++) add_product(p->pairs, a, &b[v], &sum[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
    for (int v = 0; v < vecs; v++) {
      const int elements = v + 1 < vecs ? RN_VEC : count;
      memcpy(t.c + i * p->ldc + v * RN_VEC, &sum[i][v], (size_t)elements * sizeof(rn_real));
    }
  }
}

INLINE tile tile_at(const product *p, int row, int col) {
  return (tile){(const char *)p->a + row * p->row * unit_bytes(p),
                (const char *)p->b + col * element_bytes(p), p->c + row * p->ldc + col};
}

/* Computes the columns of c that begin at `col`, tile by tile. */
INLINE void columns(const product *p, int col, int vecs, int count) {
  int row = 0;
  for (; row + ROWS <= p->m; row += ROWS) compute(p, tile_at(p, row, col), ROWS, vecs, count);
  for (; row < p->m; row++) compute(p, tile_at(p, row, col), 1, vecs, count);
}

INLINE void all_columns(const product *p) {
  int col = 0;
  for (; col + VECS * RN_VEC <= p->n; col += VECS * RN_VEC) columns(p, col, VECS, RN_VEC);
  for (; col + RN_VEC <= p->n; col += RN_VEC) columns(p, col, 1, RN_VEC);
  if (col < p->n) columns(p, col, 1, p->n - col);
}

/* The assignments tell the compiler which stride is constant, so that it generates one variant for
 * each of the two layouts of `a`. */
INLINE void multiply(product p, int64_t contiguous) {
  if (p.row == contiguous) {
    p.row = contiguous;
    all_columns(&p);
  } else {
    p.col = contiguous;
    all_columns(&p);
  }
}

static void cached_product(const rn_cached_product *p) {
  multiply((product){false, p->m, p->n, p->k, p->a.at, p->a.row, p->a.col, p->b, p->ldb, p->add,
                     p->c, p->ldc},
           1);
}

#ifndef RN_REAL_F64
static void pair_product(const rn_pair_product *p) {
  multiply((product){true, p->m, p->n, p->pairs, p->a.at, p->a.row, p->a.col, p->b, p->ldb, p->add,
                     p->c, p->ldc},
           2);
}
#endif

void RN_SET(rn_enter_cached_product)(rn_kernels *table) {
  table->cached_product = cached_product;
#ifndef RN_REAL_F64
  table->pair_product = pair_product;
#endif
#ifdef __AVX512BF16__
  table->fast_pairs = true;
#endif
}
