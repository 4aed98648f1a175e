#include "model/kernel/activation.h"

#include <math.h>
#include <stddef.h>

#include "model/kernel/exp.h"

static void swish_row(int n, const rn_real *x, rn_real *value) {
#pragma omp simd
  for (int i = 0; i < n; i++) value[i] = x[i] / (1 + rn_exp(-x[i]));
}

static void swish_row_with_slope(int n, const rn_real *x, rn_real *value, rn_real *slope) {
#pragma omp simd
  for (int i = 0; i < n; i++) {
    rn_real s = 1 / (1 + rn_exp(-x[i]));
    slope[i] = s * (1 + x[i] * (1 - s));
    value[i] = x[i] * s;
  }
}

static void gelu_row(int n, const rn_real *x, rn_real *value, rn_real *slope) {
  const double inverse_sqrt_2 = 0.70710678118654752440, inverse_sqrt_2pi = 0.39894228040143267794;
  for (int i = 0; i < n; i++) {
    double at = x[i], share = 0.5 * erfc(-at * inverse_sqrt_2);
    if (slope != NULL) slope[i] = (rn_real)(share + at * inverse_sqrt_2pi * exp(-0.5 * at * at));
    value[i] = (rn_real)(at * share);
  }
}

void rn_activation_row(rn_activation activation, int n, const rn_real *x, rn_real *value,
                       rn_real *slope) {
  if (activation == RN_ACTIVATION_GELU) {
    gelu_row(n, x, value, slope);
  } else if (slope == NULL) {
    swish_row(n, x, value);
  } else {
    swish_row_with_slope(n, x, value, slope);
  }
}
