/**
 * Where weight gradients go: sums over the flat parameters of a stage, plain or exact.
 *
 * Layers never write a gradient themselves: they hand products dW += dY^T X, vectors and rows to
 * the sink, which decides how they are summed. Plain sums are in rn_real, in the order of calls.
 * Exact sums have no order: each leaf's part is rounded to a multiple of 2^-52 and added as an
 * integer, so that they are the same however leaves are shared.
 */
#ifndef RN_MODEL_OPS_GRAD_ACCUMULATOR_H
#define RN_MODEL_OPS_GRAD_ACCUMULATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/pass/rows.h"
#include "proto/base/real.h"

typedef struct rn_grad_accumulator {
  rn_real *gradient; /* [total], as the flat parameters; not owned; NULL when exact */
  int64_t *exact;    /* [total] multiples of 2^-52, or NULL; not owned */
  int64_t total;
  int64_t leaves;  /* exact: of the whole step, on all ranks */
  bool overflowed; /* exact: a part was not finite, or so large that the sum may not fit */
} rn_grad_accumulator;

/** The value of an exact sum. */
static inline float rn_grad_accumulator_value(int64_t exact) {
  return (float)((double)exact * 0x1p-52);
}

/** Starts a step: the gradient is zero. */
void rn_grad_accumulator_start(rn_grad_accumulator *accumulator);

/** gradient[offset ...] as [N, K] += dy [R, N]^T x [R, K]: a matrix's gradient of a unit. */
void rn_grad_accumulator_product(rn_grad_accumulator *accumulator, int64_t offset, int n, int k,
                                 rn_rows rows, rn_array dy, int64_t lddy, rn_array x, int64_t ldx);

/** gradient[offset ...] += values [n]: a vector's gradient of a leaf, or of all rows together. */
void rn_grad_accumulator_vector(rn_grad_accumulator *accumulator, int64_t offset, int64_t n,
                                const rn_real *values);

/** gradient[offset ...] += values [n]: what one of a leaf's at most `rows` rows gives. */
void rn_grad_accumulator_row(rn_grad_accumulator *accumulator, int64_t offset, int64_t n, int rows,
                             const rn_real *values);

#endif
