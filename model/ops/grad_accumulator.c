#include "model/ops/grad_accumulator.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "model/kernel/gemm.h"
#include "model/ops/matmul.h"
#include "proto/base/range.h"

/* Size of the tiles of an exact product. A thread computes the contribution of one reduction
 * block to a tile at a time. */
enum { EXACT_ROWS = 64, EXACT_COLS = 256 };

void rn_grad_accumulator_start(rn_grad_accumulator *accumulator) {
  enum { SLICE = 1 << 16 };
  accumulator->overflowed = false;
#pragma omp parallel for schedule(static)
  for (int64_t at = 0; at < accumulator->total; at += SLICE) {
    int64_t count = accumulator->total - at < SLICE ? accumulator->total - at : SLICE;
    if (accumulator->exact != NULL) {
      memset(accumulator->exact + at, 0, (size_t)count * sizeof accumulator->exact[0]);
    } else {
      memset(accumulator->gradient + at, 0, (size_t)count * sizeof accumulator->gradient[0]);
    }
  }
}

/* Computes sums += values. Sets `overflowed` if `parts` summands as large as a value might not
 * fit, or if a value is NaN, which fails the comparison, too. */
static void add_exactly(rn_grad_accumulator *accumulator, double parts, int64_t n,
                        const rn_real *values, int64_t *sums) {
  const double limit = 0x1p11 / parts;
  bool fits = true;
  for (int64_t i = 0; i < n; i++) {
    const bool one_fits = fabs((double)values[i]) < limit;
    fits = fits && one_fits;
    sums[i] += one_fits ? llrint((double)values[i] * 0x1p52) : 0;
  }
  if (fits) return;
#pragma omp atomic write
  accumulator->overflowed = true;
}

/* Accumulates one tile of a product, one reduction block after another. */
static void product_tile(rn_grad_accumulator *accumulator, rn_weight w, int64_t tile, rn_rows rows,
                         rn_matrix dy, rn_matrix x) {
  rn_real part[EXACT_ROWS * EXACT_COLS];
  const int64_t down = (w.n + EXACT_ROWS - 1) / EXACT_ROWS;
  const int row = (int)(tile % down) * EXACT_ROWS, col = (int)(tile / down) * EXACT_COLS;
  const int height = (int)rn_smaller(w.n - row, EXACT_ROWS);
  const int width = (int)rn_smaller(w.k - col, EXACT_COLS);
  for (int64_t p = 0; p < rn_rows_parts(rows); p++) {
    const rn_range block = rn_rows_part(rows, p);
    const rn_matrix dy_block = rn_matrix_from(dy, block.begin, row);
    const rn_matrix x_block = rn_matrix_from(x, block.begin, col);
    rn_gemm(RN_GEMM_TN, height, width, (int)rn_range_count(block), dy_block.x, dy_block.ld,
            x_block.x, x_block.ld, 0, rn_reals(part), width);
    for (int r = 0; r < height; r++) {
      add_exactly(accumulator, (double)accumulator->reduction_blocks, width, part + r * width,
                  accumulator->exact + w.offset + (int64_t)(row + r) * w.k + col);
    }
  }
}

void rn_grad_accumulator_product(rn_grad_accumulator *accumulator, rn_weight w, rn_rows rows,
                                 rn_matrix dy, rn_matrix x) {
  const rn_weight_product product = {w, dy, x};
  rn_grad_accumulator_products(accumulator, rows, &product, 1);
}

static int64_t exact_tiles(rn_weight w) {
  return (int64_t)((w.n + EXACT_ROWS - 1) / EXACT_ROWS) * ((w.k + EXACT_COLS - 1) / EXACT_COLS);
}

static void exact_products(rn_grad_accumulator *accumulator, rn_rows rows,
                           const rn_weight_product *products, int count) {
  int64_t tiles = 0;
  for (int i = 0; i < count; i++) tiles += exact_tiles(products[i].w);
#pragma omp parallel for schedule(dynamic)
  for (int64_t at = 0; at < tiles; at++) {
    const rn_weight_product *m = products;
    int64_t tile = at;
    while (tile >= exact_tiles(m->w)) tile -= exact_tiles(m++->w);
    product_tile(accumulator, m->w, tile, rows, m->dy, m->x);
  }
}

void rn_grad_accumulator_products(rn_grad_accumulator *accumulator, rn_rows rows,
                                  const rn_weight_product *products, int count) {
  rn_tn_product sums[RN_TN_PRODUCTS_MAX];
  assert(count <= RN_TN_PRODUCTS_MAX);
  if (rows.count == 0) return;
  if (accumulator->exact != NULL) {
    exact_products(accumulator, rows, products, count);
    return;
  }
  for (int i = 0; i < count; i++) {
    const rn_weight w = products[i].w;
    assert(w.offset >= 0 && w.offset + (int64_t)w.n * w.k <= accumulator->total);
    sums[i] = (rn_tn_product){w.n, w.k, products[i].dy, products[i].x,
                              rn_matrix_of_reals(accumulator->gradient + w.offset, w.k)};
  }
  rn_matmul_tn_all(rows.count, sums, count, 1);
}

void rn_grad_accumulator_vector(rn_grad_accumulator *accumulator, int64_t offset, int64_t n,
                                const rn_real *values) {
  rn_grad_accumulator_row(accumulator, offset, n, 1, values);
}

void rn_grad_accumulator_row(rn_grad_accumulator *accumulator, int64_t offset, int64_t n, int rows,
                             const rn_real *values) {
  assert(offset >= 0 && offset + n <= accumulator->total);
  if (accumulator->exact != NULL) {
    add_exactly(accumulator, (double)accumulator->reduction_blocks * rows, n, values,
                accumulator->exact + offset);
    return;
  }
  for (int64_t i = 0; i < n; i++) accumulator->gradient[offset + i] += values[i];
}
