/* Computes the norm of a sublayer and its gradients, for one row. */
#include <math.h>
#include <stddef.h>

#include "model/kernel/ref/lanes.h"
#include "model/kernel/ref/set.h"

static void scale_row(int n, const rn_real *w, const rn_real *b, const rn_real *x, rn_real mean,
                      rn_real scale, rn_real *y) {
  if (b == NULL) {
    for (int i = 0; i < n; i++) y[i] = w[i] * ((x[i] - mean) * scale);
  } else {
    for (int i = 0; i < n; i++) y[i] = w[i] * ((x[i] - mean) * scale) + b[i];
  }
}

static void scale_row_to_bf16(int n, const rn_real *w, const rn_real *b, const rn_real *x,
                              rn_real mean, rn_real scale, rn_bf16 *y) {
#pragma omp simd
  for (int i = 0; i < n; i++) {
    y[i] = rn_bf16_of(w[i] * ((x[i] - mean) * scale) + (b != NULL ? b[i] : 0));
  }
}

static void norm(rn_block_norm kind, int n, double eps, const rn_real *w, const rn_real *b,
                 const rn_real *x, rn_array y, rn_real *stat) {
  const rn_real mean = kind == RN_BLOCK_NORM_LAYER ? rn_row_sum(n, x) / (rn_real)n : 0;
  /* The mean square is computed in double, because an error in a row's scale affects all channels
   * of the row, and later norms amplify the error. */
  const double mean_square = rn_row_squares(n, x, mean) / n;
  const rn_real scale = (rn_real)(1 / sqrt(mean_square + eps));
  stat[0] = mean;
  stat[1] = scale;
  if (y.bf16) {
    scale_row_to_bf16(n, w, b, x, mean, scale, rn_array_bf16s(y));
  } else {
    scale_row(n, w, b, x, mean, scale, rn_array_reals(y));
  }
}

/* Computes, for 16 elements and with g = w dy: along += g * (x - mean) * scale, sum += g. */
static inline void add_gradients(const rn_real *w, const rn_real *dy, const rn_real *x,
                                 const rn_real *stat, rn_vec *along, rn_vec *sum) {
#pragma GCC unroll 8
  for (int p = 0; p < RN_LANE_VECS; p++) {
    const rn_vec g = rn_vec_load(w + p * RN_VEC) * rn_vec_load(dy + p * RN_VEC);
    along[p] += g * ((rn_vec_load(x + p * RN_VEC) - stat[0]) * stat[1]);
    sum[p] += g;
  }
}

static void sum_gradients(int n, const rn_real *w, const rn_real *dy, const rn_real *x,
                          const rn_real *stat, rn_real *along, rn_real *sum) {
  rn_vec along_lane[RN_LANE_VECS] = {0}, lane[RN_LANE_VECS] = {0};
  rn_real rest[3][RN_LANES];
  int at = 0;
  for (; at + RN_LANES <= n; at += RN_LANES) {
    add_gradients(w + at, dy + at, x + at, stat, along_lane, lane);
  }
  if (at < n) {
    add_gradients(rn_row_rest(n - at, w + at, 0, rest[0]), rn_row_rest(n - at, dy + at, 0, rest[1]),
                  rn_row_rest(n - at, x + at, stat[0], rest[2]), stat, along_lane, lane);
  }
  *along = rn_lanes_sum(along_lane);
  *sum = rn_lanes_sum(lane);
}

static void norm_backward(rn_block_norm kind, int n, const rn_real *w, const rn_real *x,
                          const rn_real *stat, const rn_real *dy, const rn_real *add, rn_real *dx) {
  const rn_real mean = stat[0], scale = stat[1];
  rn_real along, sum;
  sum_gradients(n, w, dy, x, stat, &along, &sum);
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
