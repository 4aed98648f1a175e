#include "model/ops/norm.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "model/kernel/kernels.h"
#include "proto/base/span.h"

/* Channels whose sums one thread adds up. */
enum { SLICE = 16 };

void rn_norm_row_fp64(const rn_norm *norm, const rn_real *params, const rn_real *x, double *y) {
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

static void forward_row(const rn_norm *norm, const rn_real *params, const rn_real *x, rn_array y,
                        rn_real *stat) {
  rn_kernels_table()->norm(norm->kind, norm->width, norm->eps, params + norm->weight,
                           norm->bias >= 0 ? params + norm->bias : NULL, x, y, stat);
}

void rn_norm_forward_range(const rn_norm *norm, const rn_real *params, rn_range rows,
                           const rn_real *x, rn_array y, rn_real *stat) {
  const int D = norm->width;
  for (int64_t r = rows.begin; r < rows.end; r++) {
    forward_row(norm, params, x + r * D, rn_array_from(y, r * D), stat + 2 * r);
  }
}

void rn_norm_forward(const rn_norm *norm, const rn_real *params, int64_t rows, const rn_real *x,
                     rn_array y, rn_real *stat) {
#pragma omp parallel
  {
    const double begin_s = rn_span_task_begin();
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < rows; r++) {
      rn_norm_forward_range(norm, params, (rn_range){r, r + 1}, x, y, stat);
    }
    rn_span_task_end(begin_s);
  }
}

int64_t rn_norm_backward_tiles(rn_rows rows) {
  return rn_row_slices_of(rows).count;
}

/* Processes one part row by row: computes dx, and adds to the sums [2, D] for weight and bias
 * while the row is in cache. */
static void backward_part(const rn_norm *norm, const rn_real *params, rn_range rows,
                          const rn_norm_grads *g, double *sums) {
  const int D = norm->width;
  const rn_kernels *kernels = rn_kernels_table();
  memset(sums, 0, 2 * (size_t)D * sizeof *sums);
  for (int64_t r = rows.begin; r < rows.end; r++) {
    const int64_t at = r * D;
    const rn_real *stat = g->stat + 2 * r;
    rn_real unused[2];
    kernels->norm_weight(D, g->x + at, stat, g->dy + at, sums, norm->bias >= 0 ? sums + D : NULL);
    if (g->y.at != NULL) forward_row(norm, params, g->x + at, rn_array_from(g->y, at), unused);
    kernels->norm_backward(norm->kind, D, params + norm->weight, g->x + at, stat, g->dy + at,
                           g->add != NULL ? g->add + at : NULL, g->dx + at);
  }
}

/* Adds the sums of `count` parts to gradient[offset ...], for at most SLICE channels. */
static void accumulate(const double *sums, int64_t count, int64_t stride, int channels,
                       int64_t offset, rn_grad_accumulator *accumulator) {
  double total[SLICE] = {0};
  rn_real values[SLICE] = {0};
  for (int64_t p = 0; p < count; p++) {
    for (int i = 0; i < channels; i++) total[i] += sums[p * stride + i];
  }
  for (int i = 0; i < channels; i++) values[i] = (rn_real)total[i];
  rn_grad_accumulator_vector(accumulator, offset, channels, values);
}

/* As accumulate, for both weight and bias, from channel `from` on. Accumulates the sums of
 * `together` parts at a time. */
static void accumulate_slice(const rn_norm *norm, int64_t count, int64_t together, int from,
                             rn_grad_accumulator *accumulator) {
  const int D = norm->width, channels = D - from < SLICE ? D - from : SLICE;
  for (int64_t p = 0; p < count; p += together) {
    const double *sums = norm->sums + p * 2 * D + from;
    accumulate(sums, together, 2 * D, channels, norm->weight + from, accumulator);
    if (norm->bias < 0) continue;
    accumulate(sums + D, together, 2 * D, channels, norm->bias + from, accumulator);
  }
}

void rn_norm_backward(const rn_norm *norm, const rn_real *params, rn_rows rows,
                      const rn_norm_grads *grads, rn_grad_accumulator *accumulator) {
  const rn_row_slices parts = rn_row_slices_of(rows);
  const int D = norm->width;
  for (int64_t first = 0; first < parts.count; first += RN_ROW_SLICES) {
    const int64_t left = parts.count - first, count = left < RN_ROW_SLICES ? left : RN_ROW_SLICES;
    const int64_t together = rn_row_slices_together(parts, count);
#pragma omp parallel
    {
#pragma omp for schedule(static)
      for (int64_t p = 0; p < count; p++) {
        const double begin_s = rn_span_task_begin();
        backward_part(norm, params, rn_row_slice_at(parts, first + p), grads,
                      norm->sums + p * 2 * D);
        rn_span_task_end(begin_s);
      }
#pragma omp for schedule(static)
      for (int from = 0; from < D; from += SLICE) {
        accumulate_slice(norm, count, together, from, accumulator);
      }
    }
  }
}
