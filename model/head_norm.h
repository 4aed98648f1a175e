/**
 * From raw retention to the gated rows: per-head norm of alpha o, then the swish gate.
 *
 *   y = o f . w,  f = (mean(o^2) + eps / alpha^2)^(-1/2)      rms (w = 1), rms_affine
 *   y = (o - mean o) f, the same f of o - mean o              group
 *   y = alpha o                                               none
 *   z = silu(g) . y                                           or z = y without a gate
 *
 * alpha is a constant in gradients. Source: torchscale; with alpha = S_n^(-1/2) the canonical form.
 */
#ifndef RN_MODEL_HEAD_NORM_H
#define RN_MODEL_HEAD_NORM_H

#include <stdint.h>

#include "model/names.h"
#include "model/spec.h"
#include "proto/real.h"

/** Sizes, choices, inputs; not owned. Rows are [R, H V] with a distance between rows. */
typedef struct rn_head_norm_rows {
  rn_head_norm kind;
  int64_t rows; /* R */
  int heads, value_width;
  double eps;
  const rn_real *o; /* raw retention */
  int64_t ldo;
  const rn_real *g; /* NULL: no gate */
  int64_t ldg;
  const rn_real *alpha;  /* [R, H] */
  const rn_real *weight; /* [V], rms_affine */
} rn_head_norm_rows;

/** Shapes: z [R, H V]; factor f (none: alpha), mean [R, H]: for backward; mean for group only. */
void rn_head_norm_forward(const rn_head_norm_rows *in, rn_real *factor, rn_real *mean, rn_real *z,
                          int64_t ldz);

/** Elements of `partial` that backward needs for R rows. */
int64_t rn_head_norm_partial_count(int64_t rows, int value_width);

/**
 * Gradients of o, g and the weight from dz; dout may be dz itself.
 *
 * Shapes: dz, dout [R, H V]; dg [R, H V] (unused without a gate); partial: work space and
 *         dweight [V], for rms_affine only, else NULL.
 */
void rn_head_norm_backward(const rn_head_norm_rows *in, const rn_real *factor, const rn_real *mean,
                           const rn_real *dz, int64_t lddz, rn_real *dout, int64_t lddo,
                           rn_real *dg, int64_t lddg, rn_real *partial, rn_real *dweight);

#endif
