/* Computes the head norm and the gate of one row of one head, and their gradients. */
#include <math.h>
#include <stddef.h>

#include "model/kernel/exp.h"
#include "model/kernel/ref/lanes.h"
#include "model/kernel/ref/set.h"

static rn_real mean_of(int n, const rn_real *x) {
  return rn_row_sum(n, x) / (rn_real)n;
}

static rn_real mean_product(int n, const rn_real *x, const rn_real *y) {
  return rn_row_dot(n, x, y) / (rn_real)n;
}

static rn_real factor_of(rn_head_norm kind, int n, double eps, rn_real alpha, const rn_real *x) {
  if (kind == RN_HEAD_NORM_NONE) return alpha;
  const double mean_square = (double)mean_product(n, x, x), a = (double)alpha;
  return (rn_real)(1 / sqrt(mean_square + eps / (a * a)));
}

static rn_real head_norm(rn_head_norm kind, int n, double eps, rn_real alpha, rn_real *x) {
  if (kind == RN_HEAD_NORM_GROUP) {
    const rn_real mean = mean_of(n, x);
#pragma omp simd
    for (int e = 0; e < n; e++) x[e] -= mean;
  }
  const rn_real factor = factor_of(kind, n, eps, alpha, x);
#pragma omp simd
  for (int e = 0; e < n; e++) x[e] *= factor;
  return factor;
}

static void head_norm_backward(rn_head_norm kind, int n, const rn_real *y, rn_real factor,
                               rn_real *dy) {
  const rn_real along = kind == RN_HEAD_NORM_NONE ? 0 : mean_product(n, dy, y);
  const rn_real mean = kind == RN_HEAD_NORM_GROUP ? mean_of(n, dy) : 0;
#pragma omp simd
  for (int e = 0; e < n; e++) dy[e] = factor * (dy[e] - mean - y[e] * along);
}

static void gate(int n, const rn_real *y, const rn_real *w, const rn_real *g, rn_real *z) {
  if (g != NULL) {
#pragma omp simd
    for (int e = 0; e < n; e++) z[e] = y[e] * g[e] / (1 + rn_exp(-g[e]));
  } else {
#pragma omp simd
    for (int e = 0; e < n; e++) z[e] = y[e];
  }
  if (w == NULL) return;
#pragma omp simd
  for (int e = 0; e < n; e++) z[e] *= w[e];
}

/* Uses silu'(g) = s (1 + g (1 - s)) with s = 1 / (1 + e^-g). */
static void gate_backward(int n, const rn_real *y, const rn_real *w, rn_real *g, rn_real *dz,
                          rn_real *z) {
  if (g == NULL) {
    gate(n, y, w, NULL, z);
    return;
  }
#pragma omp simd
  for (int e = 0; e < n; e++) {
    const rn_real x = g[e], s = 1 / (1 + rn_exp(-x)), d = dz[e];
    g[e] = d * y[e] * s * (1 + x * (1 - s));
    dz[e] = d * x * s;
    z[e] = y[e] * x * s;
  }
  if (w == NULL) return;
#pragma omp simd
  for (int e = 0; e < n; e++) {
    g[e] *= w[e];
    z[e] *= w[e];
  }
}

void RN_SET(rn_enter_head_norm)(rn_kernels *table) {
  table->head_norm = head_norm;
  table->head_norm_backward = head_norm_backward;
  table->gate = gate;
  table->gate_backward = gate_backward;
}
