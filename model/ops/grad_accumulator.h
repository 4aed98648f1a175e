/**
 * Accumulates weight gradients over the flat parameters of a stage, in plain or exact sums.
 *
 * Layers do not write to the gradient. They pass their contributions (products dW += dY^T X,
 * vectors, rows) to the accumulator, which determines how the contributions are summed. Plain sums
 * are computed in rn_real, in the order of the calls. Exact sums do not depend on the order: the
 * contribution of each reduction block (model/pass/rows.h) is rounded to a multiple of 2^-52 and
 * added as an integer, so the result does not depend on how reduction blocks are distributed over
 * ranks.
 */
#ifndef RN_MODEL_OPS_GRAD_ACCUMULATOR_H
#define RN_MODEL_OPS_GRAD_ACCUMULATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/ops/weight_queue.h"
#include "model/pass/rows.h"
#include "model/spec/param.h"
#include "proto/base/real.h"

typedef struct rn_grad_accumulator {
  rn_real *gradient; /* [total], laid out as the flat parameters; NULL for exact sums; not owned */
  int64_t *exact;    /* [total], in units of 2^-52; NULL for plain sums; not owned */
  int64_t total;
  int64_t reduction_blocks; /* exact sums: number of reduction blocks in a step, over all ranks */
  bool overflowed; /* exact sums: true if a summand was not finite, or so large that the sum might
                      overflow */
} rn_grad_accumulator;

/** Converts an exact sum to float. */
static inline float rn_grad_accumulator_value(int64_t exact) {
  return (float)((double)exact * 0x1p-52);
}

/** Number of elements that a thread sets to zero at a time. */
enum { RN_ZERO_BLOCK = 1 << 16 };

/** Starts a step: sets the gradient to zero. */
void rn_grad_accumulator_start(rn_grad_accumulator *accumulator);

/** Adds the gradient of a matrix: gradient[w] [n, k] += dy [R, n]^T x [R, k]. */
void rn_grad_accumulator_product(rn_grad_accumulator *accumulator, rn_weight w, rn_rows rows,
                                 rn_matrix dy, rn_matrix x);

/** One weight gradient that rn_grad_accumulator_products computes. */
typedef struct rn_weight_product {
  rn_weight w;
  rn_matrix dy, x;
} rn_weight_product;

/** Adds the gradients of at most RN_TN_PRODUCTS_MAX matrices, summed over the same rows. The
 * threads share the tasks of all these products (model/ops/weight_queue.h). A thread that finds no
 * task that can begin runs tasks of `queue`, which may be NULL. */
void rn_grad_accumulator_products(rn_grad_accumulator *accumulator, rn_weight_queue *queue,
                                  rn_rows rows, const rn_weight_product *products, int count);

/**
 * Adds the gradients of matrices to `queue`, which computes them later. If `queue` is NULL,
 * computes them now. Ownership: the operands must stay valid and unchanged until the gradients have
 * been computed. The queue must not hold an earlier product of the same matrix.
 */
void rn_grad_accumulator_defer(rn_grad_accumulator *accumulator, rn_weight_queue *queue,
                               rn_rows rows, const rn_weight_product *products, int count);

/** Adds the gradient of a vector: gradient[offset ...] += values [n]. `values` are sums over one
 * reduction block or over all rows. */
void rn_grad_accumulator_vector(rn_grad_accumulator *accumulator, int64_t offset, int64_t n,
                                const rn_real *values);

/** Adds the contribution of one row: gradient[offset ...] += values [n]. `rows` is the maximum
 * number of rows per reduction block. */
void rn_grad_accumulator_row(rn_grad_accumulator *accumulator, int64_t offset, int64_t n, int rows,
                             const rn_real *values);

#endif
