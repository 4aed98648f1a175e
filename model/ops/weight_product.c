/* Computes the products of weight gradients. The sum over rows is cut into pieces of fixed size.
 * The pieces are added in order, whichever threads compute them, so bits do not depend on the
 * number of threads. */
#include "model/ops/weight_product.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "model/kernel/gemm.h"
#include "model/ops/matmul.h"

static void add_piece(const rn_weight_sum *sum, int64_t tile, int piece) {
  const rn_tile t = rn_tiling_tile(&sum->tiling, tile);
  const int64_t row = (int64_t)piece * RN_TILING_SUM_ROWS, left = sum->rows.count - row;
  const rn_matrix dy = rn_matrix_from(sum->dy, row, t.row), x = rn_matrix_from(sum->x, row, t.col),
                  dw = rn_matrix_from(sum->dw, t.row, t.col);
  rn_gemm(RN_GEMM_TN, t.rows, t.cols, (int)(left < RN_TILING_SUM_ROWS ? left : RN_TILING_SUM_ROWS),
          dy.x, dy.ld, x.x, x.ld, piece == 0 ? sum->beta : 1, dw.x, dw.ld);
}

rn_weight_sum rn_weight_product_sum(int64_t rows, const rn_tn_product *product, rn_real beta) {
  const rn_tiling tiling = rn_tiling_of_weight(product->n, product->k);
  assert(rows <= INT32_MAX);
  return (rn_weight_sum){.add_piece = add_piece,
                         .tiles = tiling.tiles,
                         .pieces = (int)rn_tiling_pieces(rows),
                         .rows = rn_rows_together(rows),
                         .n = product->n,
                         .k = product->k,
                         .dy = product->dy,
                         .x = product->x,
                         .dw = product->dw,
                         .beta = beta,
                         .tiling = tiling};
}

void rn_matmul_tn_all(int64_t rows, const rn_tn_product *products, int count, rn_real beta) {
  rn_weight_sum sums[RN_TN_PRODUCTS_MAX];
  assert(count <= RN_TN_PRODUCTS_MAX);
  for (int i = 0; i < count; i++) sums[i] = rn_weight_product_sum(rows, &products[i], beta);
  rn_weight_sums_run(sums, count, NULL);
}

void rn_matmul_tn(int64_t rows, int n, int k, rn_array dy, int64_t lddy, rn_array x, int64_t ldx,
                  rn_real beta, rn_array dw, int64_t lddw) {
  const rn_tn_product product = {n, k, {dy, lddy}, {x, ldx}, {dw, lddw}};
  rn_matmul_tn_all(rows, &product, 1, beta);
}
