/**
 * Matrix products of whole activations, cut over threads into tiles of one fixed shape.
 *
 * Each tile is one single-threaded call into the table of products, so no two thread pools fight
 * and the bits do not depend on the number of threads; no tile reaches across a leaf. Row-major; ld
 * is the distance between rows. Factors are of one type; a product of bf16 may be in either.
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

/** dx [R, K] = dy [R, N] w + beta dx,  w [N, K]: its gradient by the input. */
void rn_matmul_nn(rn_rows rows, int k, int n, rn_array dy, int64_t lddy, rn_array w, int64_t ldw,
                  rn_real beta, rn_array dx, int64_t lddx);

/** dw [N, K] = dy [R, N]^T x [R, K] + beta dw: its gradient by the weights. */
void rn_matmul_tn(int64_t rows, int n, int k, rn_array dy, int64_t lddy, rn_array x, int64_t ldx,
                  rn_real beta, rn_array dw, int64_t lddw);

/* ---- blocks of rows that go through several steps while they are near ---- */

/** Work on some rows, by the thread that calls it. */
typedef void rn_block_work(const void *self, rn_range rows);

/**
 * Calls work(self, rows) for blocks of rows, over all threads: no block reaches across a leaf, and
 * their height is a function of the number of rows alone. The first thread polls `port`, unless
 * NULL, between its blocks.
 */
void rn_each_block(rn_rows rows, const rn_scan_port *port, rn_block_work *work, const void *self);

/** As rn_matmul_nt and rn_matmul_nn, for one block; x, y, dy, dx are the arrays of all rows. */
void rn_block_nt(rn_range rows, int n, int k, rn_array x, int64_t ldx, rn_array w, int64_t ldw,
                 rn_real beta, rn_array y, int64_t ldy);
void rn_block_nn(rn_range rows, int k, int n, rn_array dy, int64_t lddy, rn_array w, int64_t ldw,
                 rn_real beta, rn_array dx, int64_t lddx);

/**
 * As rn_block_nt, but sums of at most RN_FP64_SUM_MAX products are made in double and rounded once:
 * for q, k, v, whose rounding a head norm may magnify.
 *
 * The rule is one of shape. Longer sums are the product library's: in double they would cost a wide
 * model's step several percent, while narrow models are what results are held against each other
 * with, and their products are not what takes the time.
 */
void rn_block_nt_fp64_accumulate(rn_range rows, int n, int k, rn_array x, int64_t ldx, rn_array w,
                                 int64_t ldw, rn_array y, int64_t ldy);

#endif
