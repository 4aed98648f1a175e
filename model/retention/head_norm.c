#include "model/retention/head_norm.h"

#include <stddef.h>

#include "model/kernel/kernels.h"
#include "model/ops/load_row.h"

void rn_head_norm_forward(rn_head_norm_shape s, rn_range rows, const rn_real *alpha, rn_real *o,
                          rn_array y, rn_real *factor) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t i = rows.begin * s.heads; i < rows.end * s.heads; i++) {
    rn_real *row = o + i * s.width;
    factor[i] = kernels->head_norm(s.kind, s.width, s.eps, alpha[i], row);
    rn_row_store(kernels, y, i * s.width, s.width, row);
  }
}

void rn_head_norm_backward(rn_head_norm_shape s, rn_range rows, rn_array y, const rn_real *factor,
                           rn_array dy, rn_real *room) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t i = rows.begin * s.heads; i < rows.end * s.heads; i++) {
    const int64_t at = i * s.width;
    const rn_real *y_row = rn_row_load(kernels, y, at, s.width, room);
    rn_real *dy_row = rn_row_load(kernels, dy, at, s.width, room + s.width);
    kernels->head_norm_backward(s.kind, s.width, y_row, factor[i], dy_row);
    rn_row_store(kernels, dy, at, s.width, dy_row);
  }
}

/* Offset of row i / H, head i % H, with row stride ld. */
static int64_t head_at(rn_head_norm_shape s, int64_t ld, int64_t i) {
  return i / s.heads * ld + i % s.heads * s.width;
}

static rn_real *open_gate(const rn_kernels *kernels, rn_head_norm_shape s, rn_gate_rows g,
                          int64_t i, rn_real *room) {
  return g.is ? rn_row_load(kernels, g.x, head_at(s, g.ld, i), s.width, room) : NULL;
}

void rn_gate_forward(rn_head_norm_shape s, rn_range rows, rn_array y, const rn_real *w,
                     rn_gate_rows g, rn_array z, int64_t ldz, rn_real *room) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t i = rows.begin * s.heads; i < rows.end * s.heads; i++) {
    const int64_t at = i * s.width;
    const rn_real *y_row = rn_row_load(kernels, y, at, s.width, room);
    const rn_real *g_row = open_gate(kernels, s, g, i, room + s.width);
    rn_real *z_row = rn_row_buffer(z, head_at(s, ldz, i), room + 2 * s.width);
    kernels->gate(s.width, y_row, w, g_row, z_row);
    rn_row_store(kernels, z, head_at(s, ldz, i), s.width, z_row);
  }
}

void rn_gate_backward(rn_head_norm_shape s, rn_range rows, rn_array y, const rn_real *w,
                      rn_gate_rows g, rn_array dz, rn_array z, int64_t ldz, rn_real *room) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t i = rows.begin * s.heads; i < rows.end * s.heads; i++) {
    const int64_t at = i * s.width;
    const rn_real *y_row = rn_row_load(kernels, y, at, s.width, room);
    rn_real *g_row = open_gate(kernels, s, g, i, room + s.width);
    rn_real *dz_row = rn_row_load(kernels, dz, at, s.width, room + 2 * s.width);
    rn_real *z_row = rn_row_buffer(z, head_at(s, ldz, i), room + 3 * s.width);
    kernels->gate_backward(s.width, y_row, w, g_row, dz_row, z_row);
    rn_row_store(kernels, dz, at, s.width, dz_row);
    rn_row_store(kernels, z, head_at(s, ldz, i), s.width, z_row);
    if (g.is) rn_row_store(kernels, g.x, head_at(s, g.ld, i), s.width, g_row);
  }
}

enum { LANES = 16 };

/* dw = sum over a range of rows of dz y, for some columns; threads do not split a sum. */
static void weight_gradient(rn_head_norm_shape s, rn_range rows, int first, int lanes, rn_array y,
                            rn_array dz, rn_real *dw) {
  const rn_kernels *kernels = rn_kernels_table();
  rn_real y_room[LANES], dz_room[LANES];
  double sum[LANES] = {0};
  for (int64_t i = rows.begin * s.heads; i < rows.end * s.heads; i++) {
    const int64_t at = i * s.width + first;
    const rn_real *d = rn_row_load(kernels, dz, at, lanes, dz_room);
    const rn_real *row = rn_row_load(kernels, y, at, lanes, y_room);
    for (int e = 0; e < lanes; e++) sum[e] += (double)d[e] * (double)row[e];
  }
  for (int e = 0; e < lanes; e++) dw[e] = (rn_real)sum[e];
}

static void times_weight(rn_head_norm_shape s, const rn_real *w, rn_array dz, int64_t i) {
  const rn_kernels *kernels = rn_kernels_table();
  rn_real room[LANES];
  for (int first = 0; first < s.width; first += LANES) {
    const int lanes = s.width - first < LANES ? s.width - first : LANES;
    rn_real *d = rn_row_load(kernels, dz, i * s.width + first, lanes, room);
    for (int e = 0; e < lanes; e++) d[e] *= w[first + e];
    rn_row_store(kernels, dz, i * s.width + first, lanes, d);
  }
}

void rn_head_weight_backward(rn_head_norm_shape s, rn_rows rows, rn_array y, const rn_real *w,
                             int64_t offset, rn_array dz, rn_grad_accumulator *accumulator) {
#pragma omp parallel for schedule(static)
  for (int first = 0; first < s.width; first += LANES) {
    const int lanes = s.width - first < LANES ? s.width - first : LANES;
    rn_real dw[LANES];
    for (int64_t p = 0; p < rn_rows_parts(rows); p++) {
      weight_gradient(s, rn_rows_part(rows, p), first, lanes, y, dz, dw);
      rn_grad_accumulator_vector(accumulator, offset + first, lanes, dw);
    }
  }
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < rows.count * s.heads; i++) times_weight(s, w, dz, i);
}
