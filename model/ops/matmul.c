/* Computes products of activations and weights. Each product is split into tiles of the output, so
 * the bits of the results do not depend on the number of threads. The products of weight gradients
 * are in weight_product.c. */
#include "model/ops/matmul.h"

#include <stddef.h>
#include <stdint.h>

#include "model/kernel/gemm.h"
#include "model/ops/tiling.h"

/* Maximum sum length of one call of an NT product in fp32. With longer sums, packing w takes
 * longer, and only tiles with more rows would reach the same rate. */
enum { NT_SUM = 512 };

/* Arguments of one tile of y = x w^T + beta y. The arrays begin at the tile's first elements. */
typedef struct nt_tile {
  int rows, cols, k;
  rn_array x, w, y;
  int64_t ldx, ldw, ldy;
  rn_real beta;
} nt_tile;

static void multiply_nt(const nt_tile *t) {
  const int step = t->x.bf16 || t->y.bf16 ? t->k : NT_SUM;
  for (int at = 0; at < t->k; at += step) {
    rn_gemm(RN_GEMM_NT, t->rows, t->cols, t->k - at < step ? t->k - at : step,
            rn_array_from(t->x, at), t->ldx, rn_array_from(t->w, at), t->ldw, at == 0 ? t->beta : 1,
            t->y, t->ldy);
  }
}

void rn_matmul_nt(rn_rows rows, int n, int k, rn_array x, int64_t ldx, rn_array w, int64_t ldw,
                  rn_real beta, rn_array y, int64_t ldy) {
  const rn_tiling tiling = rn_tiling_of_rows(rows, n, x.bf16);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    const rn_tile t = rn_tiling_tile(&tiling, i);
    const nt_tile tile = {t.rows,
                          t.cols,
                          k,
                          rn_array_from(x, t.row * ldx),
                          rn_array_from(w, t.col * ldw),
                          rn_array_from(y, t.row * ldy + t.col),
                          ldx,
                          ldw,
                          ldy,
                          beta};
    multiply_nt(&tile);
  }
}

void rn_matmul_nn(rn_rows rows, int k, int n, rn_array dy, int64_t lddy, rn_array w, int64_t ldw,
                  rn_real beta, rn_array dx, int64_t lddx) {
  const rn_tiling tiling = rn_tiling_of_rows(rows, k, dy.bf16);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    const rn_tile t = rn_tiling_tile(&tiling, i);
    rn_gemm(RN_GEMM_NN, t.rows, t.cols, n, rn_array_from(dy, t.row * lddy), lddy,
            rn_array_from(w, t.col), ldw, beta, rn_array_from(dx, t.row * lddx + t.col), lddx);
  }
}

/* ---- one tile of a product (model/ops/tile_steps.h) ---- */

static nt_tile nt_tile_of(const rn_step_tile *tile, const rn_tile_product *p) {
  const rn_matrix x = rn_matrix_from(p->x, tile->rows.begin, 0),
                  w = rn_matrix_from(p->w, tile->cols.begin, 0),
                  y = rn_matrix_from(p->y, tile->rows.begin, tile->cols.begin);
  return (nt_tile){.rows = (int)rn_range_count(tile->rows),
                   .cols = (int)rn_range_count(tile->cols),
                   .k = p->sum,
                   .x = x.x,
                   .w = w.x,
                   .y = y.x,
                   .ldx = x.ld,
                   .ldw = w.ld,
                   .ldy = y.ld,
                   .beta = p->beta};
}

static bool is_packed(const rn_tile_product *p) {
  return p->packed != NULL && p->packed->packed.at != NULL;
}

static void multiply_by_packed(const rn_step_tile *tile, const rn_tile_product *p) {
  const int64_t from = tile->cols.begin + p->packed_col, to = tile->cols.end + p->packed_col;
  rn_gemm_packed(p->packed, (int)rn_range_count(tile->rows), (rn_range){from, to},
                 rn_matrix_from(p->x, tile->rows.begin, 0), p->beta,
                 rn_matrix_from(p->y, tile->rows.begin, tile->cols.begin));
}

void rn_tile_nt(const rn_step_tile *tile, const rn_tile_product *product) {
  const nt_tile t = nt_tile_of(tile, product);
  if (is_packed(product)) {
    multiply_by_packed(tile, product);
  } else {
    multiply_nt(&t);
  }
}

void rn_tile_nt_fp64_accumulate(const rn_step_tile *tile, const rn_tile_product *product) {
  const nt_tile t = nt_tile_of(tile, product);
  assert(product->beta == 0);
  if (product->sum > RN_FP64_SUM_MAX || is_packed(product)) {
    rn_tile_nt(tile, product);
    return;
  }
  rn_gemm(RN_GEMM_NT_FP64_ACCUMULATE, t.rows, t.cols, t.k, t.x, t.ldx, t.w, t.ldw, 0, t.y, t.ldy);
}

void rn_tile_nn(const rn_step_tile *tile, const rn_tile_product *p) {
  if (is_packed(p)) {
    multiply_by_packed(tile, p);
    return;
  }
  const rn_matrix x = rn_matrix_from(p->x, tile->rows.begin, 0),
                  w = rn_matrix_from(p->w, 0, tile->cols.begin),
                  y = rn_matrix_from(p->y, tile->rows.begin, tile->cols.begin);
  rn_gemm(RN_GEMM_NN, (int)rn_range_count(tile->rows), (int)rn_range_count(tile->cols), p->sum, x.x,
          x.ld, w.x, w.ld, p->beta, y.x, y.ld);
}
