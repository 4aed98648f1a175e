#include "model/head_norm.h"

#include <math.h>

static rn_real mean_of(const rn_real *x, int n) {
  rn_real sum = 0;
  for (int i = 0; i < n; i++) sum += x[i];
  return sum / (rn_real)n;
}

static rn_real mean_product(const rn_real *x, const rn_real *y, int n) {
  rn_real sum = 0;
  for (int i = 0; i < n; i++) sum += x[i] * y[i];
  return sum / (rn_real)n;
}

static rn_real inverse_root(rn_real mean_square, rn_real alpha, double eps) {
  return (rn_real)(1 / sqrt((double)mean_square + eps / ((double)alpha * (double)alpha)));
}

void rn_head_norm_forward(rn_head_norm_shape s, const rn_real *alpha, rn_real *x, rn_real *factor) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < s.rows * s.heads; i++) {
    rn_real *row = x + i * s.width, mean = 0;
    if (s.kind == RN_HEAD_NORM_GROUP) {
      mean = mean_of(row, s.width);
      for (int e = 0; e < s.width; e++) row[e] -= mean;
    }
    factor[i] = s.kind == RN_HEAD_NORM_NONE
                    ? alpha[i]
                    : inverse_root(mean_product(row, row, s.width), alpha[i], s.eps);
    for (int e = 0; e < s.width; e++) row[e] *= factor[i];
  }
}

void rn_head_norm_backward(rn_head_norm_shape s, const rn_real *y, const rn_real *factor,
                           rn_real *dy) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < s.rows * s.heads; i++) {
    const rn_real *row = y + i * s.width;
    rn_real *d = dy + i * s.width;
    const rn_real along = s.kind == RN_HEAD_NORM_NONE ? 0 : mean_product(d, row, s.width);
    const rn_real mean = s.kind == RN_HEAD_NORM_GROUP ? mean_of(d, s.width) : 0;
    for (int e = 0; e < s.width; e++) d[e] = factor[i] * (d[e] - mean - row[e] * along);
  }
}

static rn_real sigmoid(rn_real x) {
  return 1 /
         (1 + (sizeof x == sizeof(float) ? (rn_real)expf((float)-x) : (rn_real)exp((double)-x)));
}

void rn_gate_forward(rn_head_norm_shape s, const rn_real *y, const rn_real *w, const rn_real *g,
                     int64_t ldg, rn_real *z) {
  const int width = s.heads * s.width;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < s.rows; row++) {
    for (int e = 0; e < width; e++) {
      rn_real value = y[row * width + e];
      if (w != NULL) value *= w[e % s.width];
      if (g != NULL) value *= g[row * ldg + e] * sigmoid(g[row * ldg + e]);
      z[row * width + e] = value;
    }
  }
}

static void weight_gradient(rn_head_norm_shape s, const rn_real *y, const rn_real *dz,
                            rn_real *dw) {
#pragma omp parallel for schedule(static)
  for (int e = 0; e < s.width; e++) {
    double sum = 0;
    for (int64_t i = 0; i < s.rows * s.heads; i++) {
      sum += (double)dz[i * s.width + e] * (double)y[i * s.width + e];
    }
    dw[e] += (rn_real)sum;
  }
}

void rn_gate_backward(rn_head_norm_shape s, const rn_real *y, const rn_real *w, rn_real *g,
                      int64_t ldg, rn_real *dz, rn_real *dw) {
  const int width = s.heads * s.width;
  if (g != NULL) {
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < s.rows; row++) {
      for (int e = 0; e < width; e++) {
        rn_real *gate = g + row * ldg + e, *d = dz + row * width + e;
        const rn_real x = *gate, open = sigmoid(x);
        const rn_real weighted = y[row * width + e] * (w != NULL ? w[e % s.width] : 1);
        *gate = *d * weighted * open * (1 + x * (1 - open));
        *d *= x * open;
      }
    }
  }
  if (w == NULL) return;
  weight_gradient(s, y, dz, dw);
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < s.rows; row++) {
    for (int e = 0; e < width; e++) dz[row * width + e] *= w[e % s.width];
  }
}
