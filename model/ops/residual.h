/**
 * Processes the output rows of a block: applies dropout, the residual connection and the norm that
 * follows, in one pass over the rows.
 *
 *   sum = a x + drop(branch),  y = norm(sum)
 */
#ifndef RN_MODEL_OPS_RESIDUAL_H
#define RN_MODEL_OPS_RESIDUAL_H

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/ops/dropout.h"
#include "model/ops/norm.h"

/** The arguments for R rows; arrays are [R, D]. `sum` may alias x or branch, y may alias sum. */
typedef struct rn_residual {
  const rn_dropout *dropout; /* NULL: none */
  rn_real factor;            /* a */
  const rn_real *x;
  rn_real *branch; /* dropout is applied in place */
  rn_real *sum;
  const rn_norm *norm; /* NULL: none; y and stat are not used */
  rn_array y;
  rn_real *stat; /* [R, 2] as in rn_norm_forward */
} rn_residual;

/** Computes sum and y for the rows of a unit; rows have `width` elements. `params` are the stage's
 * flat parameters, which the norm reads.
 */
void rn_residual_forward(const rn_residual *residual, const rn_real *params, const rn_unit *unit,
                         int width);

#endif
