#include "model/head_norm.h"

#include <stddef.h>

#include "model/kernel/kernels.h"

void rn_head_norm_forward(rn_head_norm_shape s, rn_range rows, const rn_real *alpha, rn_real *x,
                          rn_real *factor) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t i = rows.begin * s.heads; i < rows.end * s.heads; i++) {
    factor[i] = kernels->head_norm(s.kind, s.width, s.eps, alpha[i], x + i * s.width);
  }
}

void rn_head_norm_backward(rn_head_norm_shape s, rn_range rows, const rn_real *y,
                           const rn_real *factor, rn_real *dy) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t i = rows.begin * s.heads; i < rows.end * s.heads; i++) {
    kernels->head_norm_backward(s.kind, s.width, y + i * s.width, factor[i], dy + i * s.width);
  }
}

/* Where row i / H, head i % H of the gate lies. */
static int64_t gate_at(rn_head_norm_shape s, int64_t ldg, int64_t i) {
  return i / s.heads * ldg + i % s.heads * s.width;
}

void rn_gate_forward(rn_head_norm_shape s, rn_range rows, const rn_real *y, const rn_real *w,
                     const rn_real *g, int64_t ldg, rn_real *z) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t i = rows.begin * s.heads; i < rows.end * s.heads; i++) {
    kernels->gate(s.width, y + i * s.width, w, g != NULL ? g + gate_at(s, ldg, i) : NULL,
                  z + i * s.width);
  }
}

void rn_gate_backward(rn_head_norm_shape s, rn_range rows, const rn_real *y, const rn_real *w,
                      rn_real *g, int64_t ldg, rn_real *dz) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t i = rows.begin * s.heads; i < rows.end * s.heads; i++) {
    kernels->gate_backward(s.width, y + i * s.width, w, g != NULL ? g + gate_at(s, ldg, i) : NULL,
                           dz + i * s.width);
  }
}

enum { LANES = 16 };

/* dw = sum over a range of rows of dz y, for some columns: no sum is cut by threads. */
static void weight_gradient(rn_head_norm_shape s, rn_range rows, int first, int lanes,
                            const rn_real *y, const rn_real *dz, rn_real *dw) {
  double sum[LANES] = {0};
  for (int64_t i = rows.begin * s.heads; i < rows.end * s.heads; i++) {
    const rn_real *d = dz + i * s.width + first, *row = y + i * s.width + first;
    for (int e = 0; e < lanes; e++) sum[e] += (double)d[e] * (double)row[e];
  }
  for (int e = 0; e < lanes; e++) dw[e] = (rn_real)sum[e];
}

void rn_head_weight_backward(rn_head_norm_shape s, rn_rows rows, const rn_real *y, const rn_real *w,
                             int64_t offset, rn_real *dz, rn_sink *sink) {
#pragma omp parallel for schedule(static)
  for (int first = 0; first < s.width; first += LANES) {
    const int lanes = s.width - first < LANES ? s.width - first : LANES;
    rn_real dw[LANES];
    for (int64_t p = 0; p < rn_rows_parts(rows); p++) {
      weight_gradient(s, rn_rows_part(rows, p), first, lanes, y, dz, dw);
      rn_sink_vector(sink, offset + first, lanes, dw);
    }
  }
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < rows.count * s.heads; i++) {
    for (int e = 0; e < s.width; e++) dz[i * s.width + e] *= w[e];
  }
}
