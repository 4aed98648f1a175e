/**
 * Computes the norm of each head's retention, and the swish gate that follows it.
 *
 *   o' = alpha o;  rms: y = o' / sqrt(mean(o'^2) + eps) = o rsqrt(mean(o^2) + eps / alpha^2)
 *   rms_affine: y w;  group: (o' - mean) / sqrt(var + eps);  none: o'
 *   z = silu(g) y
 *
 * Gradients treat alpha as a constant. Source: RetNet (2307.08621) eq. 8; torchscale's RMSNorm.
 */
#ifndef RN_MODEL_RETENTION_HEAD_NORM_H
#define RN_MODEL_RETENTION_HEAD_NORM_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/ops/grad_accumulator.h"
#include "model/spec/spec.h"

typedef struct rn_head_norm_shape {
  rn_head_norm kind;
  int heads, width; /* H, V */
  double eps;
} rn_head_norm_shape;

/** A range of heads of a range of rows. */
typedef struct rn_head_rows {
  rn_range rows, heads;
} rn_head_rows;

/**
 * Computes y and factor. This function and all functions below except rn_head_weight_backward
 * process the heads `at` on the calling thread. Parameters named `scratch` are memory [4 V] for
 * this thread only; it is used if rows are in bf16.
 *
 * Shapes: o [R, H, V]: the retention, overwritten; y [R, H, V]: the normalized rows, without the
 *         weight, may be o itself; alpha, factor [R, H]: factor is a multiplier that backward
 *         needs.
 */
void rn_head_norm_forward(rn_head_norm_shape s, rn_head_rows at, const rn_real *alpha, rn_real *o,
                          rn_array y, rn_real *factor);

/** Replaces dy by the gradient of o. y holds the rows that forward wrote. */
void rn_head_norm_backward(rn_head_norm_shape s, rn_head_rows at, rn_array y, const rn_real *factor,
                           rn_array dy, rn_real *scratch);

/** The arguments of the gate, z = silu(g) y w. */
typedef struct rn_gate {
  rn_array y;       /* [R, H, V]: the normalized rows */
  const rn_real *w; /* [V]: weight of the head norm, or NULL */
  rn_matrix g, z;   /* [R, H V]; g.x.at NULL: no gate */
} rn_gate;

/** Computes the output z of the gate. */
void rn_gate_forward(rn_head_norm_shape s, rn_head_rows at, const rn_gate *gate, rn_real *scratch);

/** Replaces dz by the gradient of y * w and, if there is a gate, g by the gradient of g. Recomputes
 * z. */
void rn_gate_backward(rn_head_norm_shape s, rn_head_rows at, const rn_gate *gate, rn_array dz,
                      rn_real *scratch);

/** The arguments of rn_head_weight_backward for R rows. */
typedef struct rn_head_weight_grads {
  const rn_gate *gate;
  int64_t offset; /* parameter offset of w */
  rn_array dz;    /* [R, H, V]: on entry, the gradient of y w; on return, the gradient of y */
  double *sums;   /* rn_row_sums_bytes(1, V): scratch */
} rn_head_weight_grads;

/** Accumulates the gradient of w, the sum of dz y over rows and heads (see row_sums.h), and
 * replaces dz by the gradient of y. */
void rn_head_weight_backward(rn_head_norm_shape s, rn_rows rows, const rn_head_weight_grads *grads,
                             rn_grad_accumulator *accumulator);

#endif
