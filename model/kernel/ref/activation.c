/* Computes the activation functions for rows, with and without the gate of a feed-forward block. */
#include <assert.h>
#include <math.h>
#include <stddef.h>

#include "model/kernel/exp.h"
#include "model/kernel/ref/set.h"

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
    double at = x[i], cdf = 0.5 * erfc(-at * inverse_sqrt_2);
    if (slope != NULL) slope[i] = (rn_real)(cdf + at * inverse_sqrt_2pi * exp(-0.5 * at * at));
    value[i] = (rn_real)(at * cdf);
  }
}

static void activate(rn_activation activation, int n, const rn_real *x, rn_real *value,
                     rn_real *slope) {
  switch (activation) {
    case RN_ACTIVATION_SWISH:
      if (slope == NULL) {
        swish_row(n, x, value);
      } else {
        swish_row_with_slope(n, x, value, slope);
      }
      return;
    case RN_ACTIVATION_GELU:
      gelu_row(n, x, value, slope);
      return;
  }
  assert(!"a known activation");
}

static void ffn(rn_activation activation, int n, const rn_real *inner, const rn_real *gate,
                rn_real *product) {
  activate(activation, n, inner, product, NULL);
  if (gate == NULL) return;
#pragma omp simd
  for (int i = 0; i < n; i++) product[i] *= gate[i];
}

/* Number of elements that backward processes at a time; few enough that value and slope stay in
 * cache. */
enum { SLICE = 256 };

static void ffn_backward(rn_activation activation, int width, const rn_real *dproduct,
                         rn_real *inner, rn_real *linear, rn_real *product) {
  rn_real value[SLICE], slope[SLICE];
  for (int from = 0; from < width; from += SLICE) {
    const int n = width - from < SLICE ? width - from : SLICE;
    rn_real *first = inner + from;
    const rn_real *dp = dproduct + from;
    rn_real *recomputed = product + from;
    activate(activation, n, first, value, slope);
    if (linear == NULL) {
#pragma omp simd
      for (int i = 0; i < n; i++) {
        const rn_real d = dp[i];
        first[i] = d * slope[i];
        recomputed[i] = value[i];
      }
      continue;
    }
    rn_real *gate = linear + from;
#pragma omp simd
    for (int i = 0; i < n; i++) {
      const rn_real d = dp[i];
      recomputed[i] = value[i] * gate[i];
      first[i] = d * gate[i] * slope[i];
      gate[i] = d * value[i];
    }
  }
}

void RN_SET(rn_enter_activation)(rn_kernels *table) {
  table->activate = activate;
  table->ffn = ffn;
  table->ffn_backward = ffn_backward;
}
