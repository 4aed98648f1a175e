/* Products are split into tiles of the output, so bits do not depend on the number of threads. The
 * products of weight gradients are in weight_product.c. */
#include "model/ops/matmul.h"

#include <omp.h>
#include <stddef.h>
#include <stdint.h>

#include "model/kernel/gemm.h"
#include "model/ops/tiling.h"

/* Maximal sum length of one call of an NT product in fp32. Longer sums need tiles with more rows
 * to reach the same rate, because packing w takes longer. */
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

/* ---- blocks ---- */

void rn_each_block(rn_rows rows, const rn_scan_port *port, rn_block_work *work, const void *self) {
  const rn_tiling tiling =
      rn_tiling_of_blocks(rows, port != NULL ? port->hops : 0, rn_gemm_takes_bf16());
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    const rn_tile t = rn_tiling_tile(&tiling, i);
    work(self, (rn_range){t.row, t.row + t.rows});
    if (port != NULL && omp_get_thread_num() == 0) port->poll(port->self);
  }
}

static int width_at(int col, int cols) {
  return cols - col < RN_TILING_COLS ? cols - col : RN_TILING_COLS;
}

void rn_block_nt(rn_range rows, int n, int k, rn_array x, int64_t ldx, rn_array w, int64_t ldw,
                 rn_real beta, rn_array y, int64_t ldy) {
  for (int col = 0; col < n; col += RN_TILING_COLS) {
    const nt_tile tile = {(int)rn_range_count(rows),
                          width_at(col, n),
                          k,
                          rn_array_from(x, rows.begin * ldx),
                          rn_array_from(w, col * ldw),
                          rn_array_from(y, rows.begin * ldy + col),
                          ldx,
                          ldw,
                          ldy,
                          beta};
    multiply_nt(&tile);
  }
}

void rn_block_nt_fp64_accumulate(rn_range rows, int n, int k, rn_array x, int64_t ldx, rn_array w,
                                 int64_t ldw, rn_array y, int64_t ldy) {
  if (k > RN_FP64_SUM_MAX) {
    rn_block_nt(rows, n, k, x, ldx, w, ldw, 0, y, ldy);
    return;
  }
  for (int col = 0; col < n; col += RN_TILING_COLS) {
    rn_gemm(RN_GEMM_NT_FP64_ACCUMULATE, (int)rn_range_count(rows), width_at(col, n), k,
            rn_array_from(x, rows.begin * ldx), ldx, rn_array_from(w, col * ldw), ldw, 0,
            rn_array_from(y, rows.begin * ldy + col), ldy);
  }
}

void rn_block_nn(rn_range rows, int k, int n, rn_array dy, int64_t lddy, rn_array w, int64_t ldw,
                 rn_real beta, rn_array dx, int64_t lddx) {
  for (int col = 0; col < k; col += RN_TILING_COLS) {
    rn_gemm(RN_GEMM_NN, (int)rn_range_count(rows), width_at(col, k), n,
            rn_array_from(dy, rows.begin * lddy), lddy, rn_array_from(w, col), ldw, beta,
            rn_array_from(dx, rows.begin * lddx + col), lddx);
  }
}
