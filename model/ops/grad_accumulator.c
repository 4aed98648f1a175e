#include "model/ops/grad_accumulator.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "model/kernel/gemm.h"
#include "model/ops/matmul.h"
#include "model/ops/weight_product.h"
#include "proto/base/range.h"
#include "proto/base/span.h"

/* Size of the tiles of a weight gradient with exact sums. A task adds the contribution of one
 * reduction block to one tile. */
enum { EXACT_ROWS = 64, EXACT_COLS = 256 };

void rn_grad_accumulator_start(rn_grad_accumulator *accumulator) {
  accumulator->overflowed = false;
#pragma omp parallel for schedule(static)
  for (int64_t at = 0; at < accumulator->total; at += RN_ZERO_BLOCK) {
    const double begin_s = rn_span_task_begin();
    int64_t count =
        accumulator->total - at < RN_ZERO_BLOCK ? accumulator->total - at : RN_ZERO_BLOCK;
    if (accumulator->exact != NULL) {
      memset(accumulator->exact + at, 0, (size_t)count * sizeof accumulator->exact[0]);
    } else {
      memset(accumulator->gradient + at, 0, (size_t)count * sizeof accumulator->gradient[0]);
    }
    rn_span_task_end(begin_s);
  }
}

/* Computes sums += values. `parts` is the number of summands that each sum gets in a step. Sets
 * `overflowed` if a value is so large that `parts` such values might overflow the sum, or if a
 * value is NaN (any comparison with NaN is false). */
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

static int64_t exact_tiles_down(int64_t n) {
  return (n + EXACT_ROWS - 1) / EXACT_ROWS;
}

/* Adds one piece of the sum, the contribution of one reduction block, to a tile. */
static void add_exact_piece(const rn_weight_sum *sum, int64_t tile, int piece) {
  rn_grad_accumulator *accumulator = sum->accumulator;
  rn_real part[EXACT_ROWS * EXACT_COLS];
  const int64_t down = exact_tiles_down(sum->n);
  const int row = (int)(tile % down) * EXACT_ROWS, col = (int)(tile / down) * EXACT_COLS;
  const int height = (int)rn_smaller(sum->n - row, EXACT_ROWS);
  const int width = (int)rn_smaller(sum->k - col, EXACT_COLS);
  const rn_range block = rn_rows_part(sum->rows, piece);
  const rn_matrix dy = rn_matrix_from(sum->dy, block.begin, row);
  const rn_matrix x = rn_matrix_from(sum->x, block.begin, col);
  rn_gemm(RN_GEMM_TN, height, width, (int)rn_range_count(block), dy.x, dy.ld, x.x, x.ld, 0,
          rn_reals(part), width);
  for (int r = 0; r < height; r++) {
    add_exactly(accumulator, (double)accumulator->reduction_blocks, width, part + r * width,
                accumulator->exact + sum->offset + (int64_t)(row + r) * sum->k + col);
  }
}

static rn_weight_sum exact_sum(rn_grad_accumulator *accumulator, rn_rows rows,
                               const rn_weight_product *product) {
  const rn_weight w = product->w;
  return (rn_weight_sum){.add_piece = add_exact_piece,
                         .tiles = exact_tiles_down(w.n) * ((w.k + EXACT_COLS - 1) / EXACT_COLS),
                         .pieces = (int)rn_rows_parts(rows),
                         .rows = rows,
                         .n = w.n,
                         .k = w.k,
                         .dy = product->dy,
                         .x = product->x,
                         .accumulator = accumulator,
                         .offset = w.offset};
}

static rn_weight_sum sum_of(rn_grad_accumulator *accumulator, rn_rows rows,
                            const rn_weight_product *product) {
  const rn_weight w = product->w;
  assert(w.offset >= 0 && w.offset + (int64_t)w.n * w.k <= accumulator->total);
  if (accumulator->exact != NULL) return exact_sum(accumulator, rows, product);
  const rn_tn_product plain = {w.n, w.k, product->dy, product->x,
                               rn_matrix_of_reals(accumulator->gradient + w.offset, w.k)};
  return rn_weight_product_sum(rows.count, &plain, 1);
}

void rn_grad_accumulator_product(rn_grad_accumulator *accumulator, rn_weight w, rn_rows rows,
                                 rn_matrix dy, rn_matrix x) {
  const rn_weight_product product = {w, dy, x};
  rn_grad_accumulator_products(accumulator, NULL, rows, &product, 1);
}

void rn_grad_accumulator_products(rn_grad_accumulator *accumulator, rn_weight_queue *queue,
                                  rn_rows rows, const rn_weight_product *products, int count) {
  rn_weight_sum sums[RN_TN_PRODUCTS_MAX];
  assert(count <= RN_TN_PRODUCTS_MAX);
  if (rows.count == 0) return;
  for (int i = 0; i < count; i++) sums[i] = sum_of(accumulator, rows, &products[i]);
  rn_weight_sums_run(sums, count, queue);
}

void rn_grad_accumulator_defer(rn_grad_accumulator *accumulator, rn_weight_queue *queue,
                               rn_rows rows, const rn_weight_product *products, int count) {
  if (queue == NULL) {
    rn_grad_accumulator_products(accumulator, NULL, rows, products, count);
    return;
  }
  for (int i = 0; i < count && rows.count > 0; i++) {
    const rn_weight_sum sum = sum_of(accumulator, rows, &products[i]);
    rn_weight_queue_add(queue, &sum);
  }
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
