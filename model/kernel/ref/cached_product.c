/* Computes products of operands that are in cache, for example the blocks of scores of attention. A
 * tile of c stays in registers while its sums are computed. */
#include <string.h>

#include "model/kernel/ref/lanes.h"
#include "model/kernel/ref/set.h"

/* The size of a tile: ROWS x VECS vectors of sums, VECS vectors of `b` and one vector of `a` must
 * fit into the registers, of which there are 32 with AVX-512 and on ARM, otherwise 16. */
#if defined(__AVX512F__) || defined(__aarch64__)
enum { ROWS = 8, VECS = 2 };
#else
enum { ROWS = 4, VECS = 2 };
#endif

/* Pointers to the first elements of `a`, `b` and `c` that a tile uses. */
typedef struct tile {
  const rn_real *a, *b;
  rn_real *c;
} tile;

/* Loads the first `count` elements of a vector; sets the other elements to 0. */
static inline rn_vec load(const rn_real *from, int count) {
  if (count == RN_VEC) return rn_vec_load(from);
  rn_vec x = {0};
  memcpy(&x, from, (size_t)count * sizeof *from);
  return x;
}

/* Computes a tile of `rows` rows and `vecs` vectors, the last of which has `count` elements. */
__attribute__((always_inline)) static inline void compute(const rn_cached_product *p, tile t,
                                                          rn_strided a, int rows, int vecs,
                                                          int count) {
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
      b[v] = load(t.b + l * p->ldb + v * RN_VEC, v + 1 < vecs ? RN_VEC : count);
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
      const rn_vec x = t.a[i * a.row + l * a.col] - (rn_vec){0};
#pragma GCC unroll 2
      for (int v = 0; v < vecs; v++) rn_vec_fma(&x, &b[v], &sum[i][v]);
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

/* Computes the columns of c that begin at `col`, tile by tile. */
__attribute__((always_inline)) static inline void columns(const rn_cached_product *p, int col,
                                                          rn_strided a, int vecs, int count) {
  int row = 0;
  for (; row + ROWS <= p->m; row += ROWS) {
    const tile t = {p->a.at + row * a.row, p->b + col, p->c + row * p->ldc + col};
    compute(p, t, a, ROWS, vecs, count);
  }
  for (; row < p->m; row++) {
    const tile t = {p->a.at + row * a.row, p->b + col, p->c + row * p->ldc + col};
    compute(p, t, a, 1, vecs, count);
  }
}

__attribute__((always_inline)) static inline void all_columns(const rn_cached_product *p,
                                                              rn_strided a) {
  int col = 0;
  for (; col + VECS * RN_VEC <= p->n; col += VECS * RN_VEC) columns(p, col, a, VECS, RN_VEC);
  for (; col + RN_VEC <= p->n; col += RN_VEC) columns(p, col, a, 1, RN_VEC);
  if (col < p->n) columns(p, col, a, 1, p->n - col);
}

/* The assignments `= 1` tell the compiler which stride is constant, so that it generates one
 * variant for each of the two layouts of `a`. */
static void cached_product(const rn_cached_product *p) {
  rn_strided a = p->a;
  if (a.row == 1) {
    a.row = 1;
    all_columns(p, a);
  } else {
    a.col = 1;
    all_columns(p, a);
  }
}

void RN_SET(rn_enter_cached_product)(rn_kernels *table) {
  table->cached_product = cached_product;
}
