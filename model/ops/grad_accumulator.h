/**
 * Accumulates weight gradients over the flat parameters of a stage, in plain or exact sums.
 *
 * Layers never write a gradient themselves: they pass products dW += dY^T X, vectors and rows to
 * the accumulator, which determines how they are summed. Plain sums are in rn_real, in the order of
 * calls. Exact sums are independent of order: the contribution of each reduction block is rounded
 * to a multiple of 2^-52 and added as an integer, so the result does not depend on how reduction
 * blocks are distributed over ranks.
 */
#ifndef RN_MODEL_OPS_GRAD_ACCUMULATOR_H
#define RN_MODEL_OPS_GRAD_ACCUMULATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/pass/rows.h"
#include "model/spec/param.h"
#include "proto/base/real.h"

typedef struct rn_grad_accumulator {
  rn_real *gradient; /* [total], laid out as the flat parameters; not owned; NULL when exact */
  int64_t *exact;    /* [total] multiples of 2^-52, or NULL; not owned */
  int64_t total;
  int64_t reduction_blocks; /* exact: reduction blocks of the whole step, on all ranks */
  bool overflowed; /* exact: a summand was not finite, or so large that the sum may not fit */
} rn_grad_accumulator;

/** The value of an exact sum. */
static inline float rn_grad_accumulator_value(int64_t exact) {
  return (float)((double)exact * 0x1p-52);
}

/** Starts a step: sets the gradient to zero. */
void rn_grad_accumulator_start(rn_grad_accumulator *accumulator);

/** gradient[w] [n, k] += dy [R, n]^T x [R, k]: the gradient of a matrix. */
void rn_grad_accumulator_product(rn_grad_accumulator *accumulator, rn_weight w, rn_rows rows,
                                 rn_matrix dy, rn_matrix x);

/** One weight gradient of rn_grad_accumulator_products. */
typedef struct rn_weight_product {
  rn_weight w;
  rn_matrix dy, x;
} rn_weight_product;

/** The gradients of at most RN_TN_PRODUCTS_MAX matrices over the same rows, in one pool of tasks.
 */
void rn_grad_accumulator_products(rn_grad_accumulator *accumulator, rn_rows rows,
                                  const rn_weight_product *products, int count);

/** gradient[offset ...] += values [n]: the gradient of a vector over one reduction block, or over
 * all rows. */
void rn_grad_accumulator_vector(rn_grad_accumulator *accumulator, int64_t offset, int64_t n,
                                const rn_real *values);

/** gradient[offset ...] += values [n]: the contribution of one row; `rows`: the maximal number of
 * rows per reduction block. */
void rn_grad_accumulator_row(rn_grad_accumulator *accumulator, int64_t offset, int64_t n, int rows,
                             const rn_real *values);

#endif
