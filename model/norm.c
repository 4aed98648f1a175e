#include "model/norm.h"

#include <math.h>
#include <stddef.h>

#include "model/kernel/kernels.h"

/* Channels whose weight gradients one thread sums over all rows. */
enum { SLICE = 256 };

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
                     rn_array y, rn_real *stat) {
  const rn_real *weight = params + norm->weight;
  const rn_real *bias = norm->bias >= 0 ? params + norm->bias : NULL;
  const rn_kernels *kernels = rn_kernels_table();
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; r++) {
    kernels->norm(norm->kind, norm->width, norm->eps, weight, bias, x + r * norm->width,
                  rn_array_from(y, r * norm->width), stat + 2 * r);
  }
}

/* Gradients of weight and bias of channels from .. from+count-1, of rows that go together. */
static void backward_slice(const rn_norm *norm, int from, int count, rn_range rows,
                           const rn_real *x, const rn_real *stat, const rn_real *dy,
                           rn_sink *sink) {
  double weight[SLICE] = {0}, bias[SLICE] = {0};
  rn_real values[SLICE] = {0};
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t r = rows.begin; r < rows.end; r++) {
    const int64_t at = r * norm->width + from;
    kernels->norm_weight(count, x + at, stat + 2 * r, dy + at, weight, bias);
  }
  for (int i = 0; i < count; i++) values[i] = (rn_real)weight[i];
  rn_sink_vector(sink, norm->weight + from, count, values);
  if (norm->bias < 0) return;
  for (int i = 0; i < count; i++) values[i] = (rn_real)bias[i];
  rn_sink_vector(sink, norm->bias + from, count, values);
}

void rn_norm_backward(const rn_norm *norm, const rn_real *params, rn_rows rows, const rn_real *x,
                      const rn_real *stat, const rn_real *dy, const rn_real *add, rn_real *dx,
                      rn_sink *sink) {
  const rn_kernels *kernels = rn_kernels_table();
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
    kernels->norm_backward(norm->kind, norm->width, params + norm->weight, x + at, stat + 2 * r,
                           dy + at, add != NULL ? add + at : NULL, dx + at);
  }
}
