#include "model/ops/norm.h"

#include <math.h>
#include <stddef.h>

#include "model/kernel/kernels.h"
#include "model/ops/row_sums.h"
#include "proto/base/span.h"

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

typedef struct backward_work {
  const rn_norm *norm;
  const rn_real *params;
  const rn_norm_grads *grads;
} backward_work;

/* Computes dx row by row. While a row is in cache, also computes the row's contributions to the
 * gradients of weight and bias, and adds them to `sums` [1 or 2, D]. */
static void backward_rows(const void *self, rn_range rows, double *sums) {
  const backward_work *work = self;
  const rn_norm *norm = work->norm;
  const rn_norm_grads *g = work->grads;
  const int D = norm->width;
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t r = rows.begin; r < rows.end; r++) {
    const int64_t at = r * D;
    const rn_real *stat = g->stat + 2 * r;
    rn_real unused[2];
    kernels->norm_weight(D, g->x + at, stat, g->dy + at, sums, norm->bias >= 0 ? sums + D : NULL);
    if (g->y.at != NULL) {
      forward_row(norm, work->params, g->x + at, rn_array_from(g->y, at), unused);
    }
    kernels->norm_backward(norm->kind, D, work->params + norm->weight, g->x + at, stat, g->dy + at,
                           g->add != NULL ? g->add + at : NULL, g->dx + at);
  }
}

void rn_norm_backward(const rn_norm *norm, const rn_real *params, rn_rows rows,
                      const rn_norm_grads *grads, rn_grad_accumulator *accumulator) {
  const backward_work work = {norm, params, grads};
  const rn_row_sums sums = {.vectors = norm->bias >= 0 ? 2 : 1,
                            .width = norm->width,
                            .offset = {norm->weight, norm->bias},
                            .scratch = norm->sums,
                            .self = &work,
                            .add_part = backward_rows};
  rn_row_sums_accumulate(&sums, rows, accumulator);
}
