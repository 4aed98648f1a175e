/* One row of a norm around a block, and its gradients. */
#include <math.h>
#include <stddef.h>

#include "model/kernel/ref/set.h"

static rn_real row_mean(int width, const rn_real *x) {
  rn_real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int i = 0; i < width; i++) sum += x[i];
  return sum / (rn_real)width;
}

/* In double: what the rounding of a row's scale does to all its channels, later norms magnify. */
static double row_mean_square(int width, const rn_real *x, rn_real mean) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int i = 0; i < width; i++) sum += (double)(x[i] - mean) * (double)(x[i] - mean);
  return sum / width;
}

static void scale_row(int n, const rn_real *w, const rn_real *b, const rn_real *x, rn_real mean,
                      rn_real scale, rn_real *y) {
  if (b == NULL) {
    for (int i = 0; i < n; i++) y[i] = w[i] * ((x[i] - mean) * scale);
  } else {
    for (int i = 0; i < n; i++) y[i] = w[i] * ((x[i] - mean) * scale) + b[i];
  }
}

static void scale_row_and_round(int n, const rn_real *w, const rn_real *b, const rn_real *x,
                                rn_real mean, rn_real scale, rn_half *y) {
#pragma omp simd
  for (int i = 0; i < n; i++) {
    y[i] = rn_half_of(w[i] * ((x[i] - mean) * scale) + (b != NULL ? b[i] : 0));
  }
}

static void norm(rn_block_norm kind, int n, double eps, const rn_real *w, const rn_real *b,
                 const rn_real *x, rn_array y, rn_real *stat) {
  const rn_real mean = kind == RN_BLOCK_NORM_LAYER ? row_mean(n, x) : 0;
  const rn_real scale = (rn_real)(1 / sqrt(row_mean_square(n, x, mean) + eps));
  stat[0] = mean;
  stat[1] = scale;
  if (y.half) {
    scale_row_and_round(n, w, b, x, mean, scale, rn_array_halves(y));
  } else {
    scale_row(n, w, b, x, mean, scale, rn_array_reals(y));
  }
}

static void norm_backward(rn_block_norm kind, int n, const rn_real *w, const rn_real *x,
                          const rn_real *stat, const rn_real *dy, const rn_real *add, rn_real *dx) {
  const rn_real mean = stat[0], scale = stat[1];
  rn_real along = 0, sum = 0;
#pragma omp simd reduction(+ : along, sum)
  for (int i = 0; i < n; i++) {
    const rn_real g = w[i] * dy[i];
    along += g * ((x[i] - mean) * scale);
    sum += g;
  }
  along /= (rn_real)n;
  const rn_real shift = kind == RN_BLOCK_NORM_LAYER ? sum / (rn_real)n : 0;
#pragma omp simd
  for (int i = 0; i < n; i++) {
    const rn_real g = w[i] * dy[i] - shift - ((x[i] - mean) * scale) * along;
    dx[i] = (add != NULL ? add[i] : 0) + scale * g;
  }
}

static void norm_weight(int n, const rn_real *x, const rn_real *stat, const rn_real *dy, double *dw,
                        double *db) {
  const rn_real mean = stat[0], scale = stat[1];
#pragma omp simd
  for (int i = 0; i < n; i++) dw[i] += (double)(dy[i] * ((x[i] - mean) * scale));
  if (db == NULL) return;
#pragma omp simd
  for (int i = 0; i < n; i++) db[i] += (double)dy[i];
}

void RN_SET(rn_enter_norm)(rn_kernels *table) {
  table->norm = norm;
  table->norm_backward = norm_backward;
  table->norm_weight = norm_weight;
}
