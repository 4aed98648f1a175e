#include "model/norm.h"

#include <math.h>
#include <stddef.h>

/* Channels whose weight gradients one thread sums over all rows. */
enum { SLICE = 64 };

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

static void forward_row(const rn_norm *norm, const rn_real *weight, const rn_real *bias,
                        const rn_real *x, rn_real *y, rn_real *stat) {
  rn_real mean = norm->kind == RN_BLOCK_NORM_LAYER ? row_mean(norm->width, x) : 0;
  rn_real scale = (rn_real)(1 / sqrt(row_mean_square(norm->width, x, mean) + norm->eps));
  stat[0] = mean;
  stat[1] = scale;
  if (bias == NULL) {
    for (int i = 0; i < norm->width; i++) y[i] = weight[i] * ((x[i] - mean) * scale);
  } else {
    for (int i = 0; i < norm->width; i++) y[i] = weight[i] * ((x[i] - mean) * scale) + bias[i];
  }
}

void rn_norm_row_wide(const rn_norm *norm, const rn_real *params, const rn_real *x, double *y) {
  const int D = norm->width;
  double mean = 0, square = 0;
  for (int i = 0; norm->kind == RN_BLOCK_NORM_LAYER && i < D; i++) mean += (double)x[i] / D;
  for (int i = 0; i < D; i++) square += ((double)x[i] - mean) * ((double)x[i] - mean) / D;
  const double scale = 1 / sqrt(square + norm->eps);
  for (int i = 0; i < D; i++) {
    const double bias = norm->bias >= 0 ? (double)params[norm->bias + i] : 0;
    y[i] = (double)params[norm->weight + i] * (((double)x[i] - mean) * scale) + bias;
  }
}

void rn_norm_forward(const rn_norm *norm, const rn_real *params, int64_t rows, const rn_real *x,
                     rn_real *y, rn_real *stat) {
  const rn_real *weight = params + norm->weight;
  const rn_real *bias = norm->bias >= 0 ? params + norm->bias : NULL;
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; r++) {
    forward_row(norm, weight, bias, x + r * norm->width, y + r * norm->width, stat + 2 * r);
  }
}

/* Gradients of weight and bias of channels from .. from+count-1, of rows that go together. */
static void backward_slice(const rn_norm *norm, int from, int count, rn_range rows,
                           const rn_real *x, const rn_real *stat, const rn_real *dy,
                           rn_sink *sink) {
  double weight[SLICE] = {0}, bias[SLICE] = {0};
  rn_real values[SLICE] = {0};
  for (int64_t r = rows.begin; r < rows.end; r++) {
    const rn_real *x_row = x + r * norm->width + from, *dy_row = dy + r * norm->width + from;
    rn_real mean = stat[2 * r], scale = stat[2 * r + 1];
    for (int i = 0; i < count; i++) {
      weight[i] += dy_row[i] * ((x_row[i] - mean) * scale);
      bias[i] += dy_row[i];
    }
  }
  for (int i = 0; i < count; i++) values[i] = (rn_real)weight[i];
  rn_sink_vector(sink, norm->weight + from, count, values);
  if (norm->bias < 0) return;
  for (int i = 0; i < count; i++) values[i] = (rn_real)bias[i];
  rn_sink_vector(sink, norm->bias + from, count, values);
}

static void backward_row(const rn_norm *norm, const rn_real *weight, const rn_real *x,
                         const rn_real *stat, const rn_real *dy, const rn_real *add, rn_real *dx) {
  rn_real mean = stat[0], scale = stat[1], along = 0, sum = 0;
#pragma omp simd reduction(+ : along, sum)
  for (int i = 0; i < norm->width; i++) {
    rn_real g = weight[i] * dy[i];
    along += g * ((x[i] - mean) * scale);
    sum += g;
  }
  along /= (rn_real)norm->width;
  rn_real shift = norm->kind == RN_BLOCK_NORM_LAYER ? sum / (rn_real)norm->width : 0;
  for (int i = 0; i < norm->width; i++) {
    rn_real g = weight[i] * dy[i] - shift - ((x[i] - mean) * scale) * along;
    dx[i] = (add != NULL ? add[i] : 0) + scale * g;
  }
}

void rn_norm_backward(const rn_norm *norm, const rn_real *params, rn_rows rows, const rn_real *x,
                      const rn_real *stat, const rn_real *dy, const rn_real *add, rn_real *dx,
                      rn_sink *sink) {
#pragma omp parallel for schedule(static)
  for (int from = 0; from < norm->width; from += SLICE) {
    int count = norm->width - from < SLICE ? norm->width - from : SLICE;
    for (int64_t p = 0; p < rn_rows_parts(rows); p++) {
      backward_slice(norm, from, count, rn_rows_part(rows, p), x, stat, dy, sink);
    }
  }
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows.count; r++) {
    int64_t at = r * norm->width;
    backward_row(norm, params + norm->weight, x + at, stat + 2 * r, dy + at,
                 add != NULL ? add + at : NULL, dx + at);
  }
}
