/**
 * The nonlinearities, over rows.
 *
 *   swish(x) = x s(x),  s(x) = 1 / (1 + exp(-x));   slope s (1 + x (1 - s))
 *   gelu(x)  = x F(x),  F the normal distribution;  slope F + x exp(-x^2/2) / sqrt(2 pi)
 */
#ifndef RN_MODEL_KERNEL_ACTIVATION_H
#define RN_MODEL_KERNEL_ACTIVATION_H

#include "model/names.h"
#include "model/spec.h"
#include "proto/real.h"

/** Shapes: x, value, slope [n]; slope NULL: not wanted. value may be x. */
void rn_activation_row(rn_activation activation, int n, const rn_real *x, rn_real *value,
                       rn_real *slope);

#endif
