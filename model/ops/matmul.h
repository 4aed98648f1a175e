/**
 * Computes matrix products of whole activations, split into tiles for all threads.
 *
 * Each tile is computed by one single-threaded call of the gemm backend. OpenMP and the BLAS
 * library therefore do not compete for cores, and the bits of the results do not depend on the
 * number of threads. No tile crosses the boundary of a reduction block (model/pass/rows.h).
 * Matrices are row-major; ld is the row stride. Both factors have the same type; the product of
 * bf16 factors may be stored in rn_real or bf16.
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

/** Computes the forward of a linear layer: y [R, N] = x [R, K] w^T + beta y, with w [N, K]. */
void rn_matmul_nt(rn_rows rows, int n, int k, rn_array x, int64_t ldx, rn_array w, int64_t ldw,
                  rn_real beta, rn_array y, int64_t ldy);

/** Computes the gradient of a linear layer's input: dx [R, K] = dy [R, N] w + beta dx, with w [N,
 * K]. */
void rn_matmul_nn(rn_rows rows, int k, int n, rn_array dy, int64_t lddy, rn_array w, int64_t ldw,
                  rn_real beta, rn_array dx, int64_t lddx);

/** Computes the gradient of a linear layer's weights: dw [N, K] = dy [R, N]^T x [R, K] + beta
 * dw. */
void rn_matmul_tn(int64_t rows, int n, int k, rn_array dy, int64_t lddy, rn_array x, int64_t ldx,
                  rn_real beta, rn_array dw, int64_t lddw);

/** One of the products that rn_matmul_tn_all computes: dw [n, k] = dy [R, n]^T x [R, k] + beta dw.
 */
typedef struct rn_tn_product {
  int n, k;
  rn_matrix dy, x, dw;
} rn_tn_product;

enum { RN_TN_PRODUCTS_MAX = 4 };

/** Computes several products as rn_matmul_tn does, over the same rows. The threads share the tiles
 * of all products: a thread that finds no more tiles of one product continues with the next
 * product. */
void rn_matmul_tn_all(int64_t rows, const rn_tn_product *products, int count, rn_real beta);

/* ---- one tile of a step (model/ops/tile_steps.h), computed on the calling thread ---- */

/** The whole product, of which each call below computes one tile. The arrays hold all rows and
 * columns. Column 0 of y is computed from column `packed_col` of the packed weight. */
typedef struct rn_tile_product {
  int sum; /* number of products that are summed per element */
  rn_matrix x, w, y;
  rn_real beta;
  const rn_packed_weight *packed; /* w as packed by rn_pack_weights, or NULL */
  int packed_col;
} rn_tile_product;

/** Computes a tile of y [R, N] = x [R, sum] w^T + beta y, with w [N, sum]. */
void rn_tile_nt(const rn_step_tile *tile, const rn_tile_product *product);

/** Computes a tile of y [R, N] = x [R, sum] w + beta y, with w [sum, N]. */
void rn_tile_nn(const rn_step_tile *tile, const rn_tile_product *product);

/**
 * Does the same as rn_tile_nt, but computes sums of at most RN_FP64_SUM_MAX products in double and
 * rounds them once; beta must be 0. Used for q, k and v, because a head norm may amplify their
 * rounding errors.
 *
 * Longer sums are computed as in rn_tile_nt, because in double they would make the training steps
 * of wide models several percent slower. In narrow models, for which tests compare results, the
 * products take only a small part of the time.
 */
void rn_tile_nt_fp64_accumulate(const rn_step_tile *tile, const rn_tile_product *product);

#endif
