/**
 * Matrix products of whole activations, split over threads into tiles.
 *
 * Each tile is one single-threaded call of the gemm backend. So no two thread pools compete, and
 * the bits do not depend on the number of threads. No tile of rows crosses the boundary of a
 * reduction block. Row-major; ld is the row stride. Both factors are of one type; the product of
 * bf16 factors may be stored in either type.
 */
#ifndef RN_MODEL_OPS_MATMUL_H
#define RN_MODEL_OPS_MATMUL_H

#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/pass/rows.h"
#include "proto/base/real.h"
#include "proto/ports/scan_port.h"

/** y [R, N] = x [R, K] w^T + beta y,  w [N, K]: a linear layer forward. */
void rn_matmul_nt(rn_rows rows, int n, int k, rn_array x, int64_t ldx, rn_array w, int64_t ldw,
                  rn_real beta, rn_array y, int64_t ldy);

/** dx [R, K] = dy [R, N] w + beta dx,  w [N, K]: its gradient with respect to the input. */
void rn_matmul_nn(rn_rows rows, int k, int n, rn_array dy, int64_t lddy, rn_array w, int64_t ldw,
                  rn_real beta, rn_array dx, int64_t lddx);

/** dw [N, K] = dy [R, N]^T x [R, K] + beta dw: its gradient with respect to the weights. */
void rn_matmul_tn(int64_t rows, int n, int k, rn_array dy, int64_t lddy, rn_array x, int64_t ldx,
                  rn_real beta, rn_array dw, int64_t lddw);

/** One product of rn_matmul_tn_all: dw [n, k] = dy [R, n]^T x [R, k] + beta dw. */
typedef struct rn_tn_product {
  int n, k;
  rn_matrix dy, x, dw;
} rn_tn_product;

enum { RN_TN_PRODUCTS_MAX = 4 };

/** Several such products over the same rows, their tiles in one pool of tasks: threads that find no
 * more tiles of one product go on with the next. */
void rn_matmul_tn_all(int64_t rows, const rn_tn_product *products, int count, rn_real beta);

/* ---- blocks of rows that go through several steps while they are in cache ---- */

/** Processes some rows on the calling thread. */
typedef void rn_block_work(const void *self, rn_range rows);

/**
 * Calls work(self, rows) for blocks of rows, in parallel. No block crosses the boundary of a
 * reduction block; the block height depends on the number of rows and the port's `hops` alone. The
 * first thread polls `port`, unless NULL, between its blocks.
 */
void rn_each_block(rn_rows rows, const rn_scan_port *port, rn_block_work *work, const void *self);

/** As rn_matmul_nt and rn_matmul_nn, for one block; x, y, dy, dx are the arrays of all rows. */
void rn_block_nt(rn_range rows, int n, int k, rn_array x, int64_t ldx, rn_array w, int64_t ldw,
                 rn_real beta, rn_array y, int64_t ldy);
void rn_block_nn(rn_range rows, int k, int n, rn_array dy, int64_t lddy, rn_array w, int64_t ldw,
                 rn_real beta, rn_array dx, int64_t lddx);

/**
 * As rn_block_nt, but sums of at most RN_FP64_SUM_MAX products are computed in double and rounded
 * once: for q, k, v, whose rounding error a head norm may amplify.
 *
 * Longer sums are left to the gemm backend: in double they would cost a wide model several percent
 * of a step. Narrow models are the ones used to compare results, and their products take little of
 * the time.
 */
void rn_block_nt_fp64_accumulate(rn_range rows, int n, int k, rn_array x, int64_t ldx, rn_array w,
                                 int64_t ldw, rn_array y, int64_t ldy);

#endif
