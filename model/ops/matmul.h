/**
 * Matrix products of whole activations, split over threads into tiles.
 *
 * Each tile is one single-threaded call of the gemm backend. So thread pools never compete, and the
 * bits do not depend on the number of threads. No tile of rows crosses the boundary of a reduction
 * block. Row-major; ld is the row stride. Both factors have the same type; the product of bf16
 * factors may be stored in either type.
 */
#ifndef RN_MODEL_OPS_MATMUL_H
#define RN_MODEL_OPS_MATMUL_H

#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/kernel/gemm_pack.h"
#include "model/ops/steps_tiling.h"
#include "model/pass/rows.h"
#include "proto/base/real.h"

/** Forward of a linear layer: y [R, N] = x [R, K] w^T + beta y, with w [N, K]. */
void rn_matmul_nt(rn_rows rows, int n, int k, rn_array x, int64_t ldx, rn_array w, int64_t ldw,
                  rn_real beta, rn_array y, int64_t ldy);

/** Gradient of a linear layer's input: dx [R, K] = dy [R, N] w + beta dx, with w [N, K]. */
void rn_matmul_nn(rn_rows rows, int k, int n, rn_array dy, int64_t lddy, rn_array w, int64_t ldw,
                  rn_real beta, rn_array dx, int64_t lddx);

/** Gradient of a linear layer's weights: dw [N, K] = dy [R, N]^T x [R, K] + beta dw. */
void rn_matmul_tn(int64_t rows, int n, int k, rn_array dy, int64_t lddy, rn_array x, int64_t ldx,
                  rn_real beta, rn_array dw, int64_t lddw);

/** One product of rn_matmul_tn_all: dw [n, k] = dy [R, n]^T x [R, k] + beta dw. */
typedef struct rn_tn_product {
  int n, k;
  rn_matrix dy, x, dw;
} rn_tn_product;

enum { RN_TN_PRODUCTS_MAX = 4 };

/** Computes several products as rn_matmul_tn over the same rows, with the tiles of all products
 * in one pool of tasks. Threads that find no more tiles of one product continue with the next
 * product. */
void rn_matmul_tn_all(int64_t rows, const rn_tn_product *products, int count, rn_real beta);

/* ---- products of one tile of a step (model/ops/tile_steps.h), on the calling thread ---- */

/** The product of which a tile is computed. The arrays hold all rows and columns. Column 0 of y is
 * computed from column `packed_col` of the packed weight. */
typedef struct rn_tile_product {
  int sum; /* number of products that are summed per element */
  rn_matrix x, w, y;
  rn_real beta;
  const rn_packed_weight *packed; /* w as packed by rn_pack_weights, or NULL */
  int packed_col;
} rn_tile_product;

/** y [R, N] = x [R, sum] w^T + beta y, with w [N, sum]. */
void rn_tile_nt(const rn_step_tile *tile, const rn_tile_product *product);

/** y [R, N] = x [R, sum] w + beta y, with w [sum, N]. */
void rn_tile_nn(const rn_step_tile *tile, const rn_tile_product *product);

/**
 * As rn_tile_nt, but computes sums of at most RN_FP64_SUM_MAX products in double and rounds them
 * once; beta must be 0. Used for q, k and v, because a head norm may amplify their rounding errors.
 *
 * Longer sums are computed as in rn_tile_nt, because in double they would add several percent to a
 * step of a wide model. Results are compared on narrow models, where products take only a small
 * part of the time.
 */
void rn_tile_nt_fp64_accumulate(const rn_step_tile *tile, const rn_tile_product *product);

#endif
