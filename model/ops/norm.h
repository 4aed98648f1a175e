/**
 * Computes the norm of a sublayer's rows: RMS with a weight, or LayerNorm with weight and bias.
 *
 *   rms:    y = w x r              r = 1 / sqrt(mean(x^2) + eps)
 *   layer:  y = w (x - m) r + b    r = 1 / sqrt(mean((x - m)^2) + eps), m = mean(x)
 */
#ifndef RN_MODEL_OPS_NORM_H
#define RN_MODEL_OPS_NORM_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/ops/grad_accumulator.h"
#include "model/ops/row_sums.h"
#include "model/pass/rows.h"
#include "model/spec/spec.h"
#include "proto/base/real.h"

/** A norm, with the parameter offsets of its weight and bias (-1: no bias). */
typedef struct rn_norm {
  rn_block_norm kind;
  int width; /* D */
  double eps;
  int64_t weight, bias;
  double *sums; /* scratch of backward, of rn_norm_sums_bytes(width); not owned */
} rn_norm;

/** Returns the size in bytes of rn_norm.sums for rows of `width` elements. */
static inline size_t rn_norm_sums_bytes(int width) {
  return rn_row_sums_bytes(2, width);
}

/** Returns the norm of a spec's sublayers, with weight and bias at these offsets. */
static inline rn_norm rn_norm_make(const rn_spec *spec, int64_t weight, int64_t bias) {
  return (rn_norm){spec->block_norm, spec->dim, spec->norm_eps, weight, bias, NULL};
}

/**
 * Computes y and stat. Shapes: params, the flat parameters of the stage; x, y [R, D], may be the
 * same array; stat [R, 2], m (0 for rms) and r of each row, for backward.
 */
void rn_norm_forward(const rn_norm *norm, const rn_real *params, int64_t rows, const rn_real *x,
                     rn_array y, rn_real *stat);

/** Does the same as rn_norm_forward, but only for the given rows and on the calling thread; the
 * arrays hold all rows. */
void rn_norm_forward_range(const rn_norm *norm, const rn_real *params, rn_range rows,
                           const rn_real *x, rn_array y, rn_real *stat);

/** Computes the norm of one row in double, for uses that need more precision than rn_real.
 * Shapes: x, y [D]. */
void rn_norm_row_fp64(const rn_norm *norm, const rn_real *params, const rn_real *x, double *y);

/** The arrays of a backward pass over R rows. */
typedef struct rn_norm_grads {
  const rn_real *x, *stat; /* x [R, D] and stat [R, 2] of forward */
  const rn_real *dy;       /* [R, D] */
  const rn_real *add;      /* [R, D]: added to the gradient, dx = add + gradient; may be NULL */
  rn_real *dx; /* [R, D]: output; may alias dy, add or x, because each row is read before it is
                  written */
  rn_array y;  /* [R, D]: output; the y of forward, recomputed while x is in cache; not computed if
                  y.at is NULL */
} rn_norm_grads;

/**
 * Computes the gradient with respect to x and accumulates the gradients of weight and bias.
 *
 *   u = (x - m) r;  g = w dy;  d x = r (g - mean(g) [layer only] - u mean(g u))
 *   dw = sum over rows of dy u,  db = sum over rows of dy
 *
 * Sums over rows are computed as in row_sums.h.
 */
void rn_norm_backward(const rn_norm *norm, const rn_real *params, rn_rows rows,
                      const rn_norm_grads *grads, rn_grad_accumulator *accumulator);

#endif
