#include "model/retention/head_norm.h"

#include <stddef.h>

#include "model/kernel/kernels.h"
#include "model/ops/load_row.h"
#include "model/ops/row_sums.h"

/* Returns the number of (row, head) pairs of `at`. */
static int64_t count_of(rn_head_rows at) {
  return rn_range_count(at.rows) * rn_range_count(at.heads);
}

/* Returns r H + h, where r and h are the row and the head of pair n of `at`. */
static int64_t head_of(rn_head_norm_shape s, rn_head_rows at, int64_t n) {
  const int64_t heads = rn_range_count(at.heads);
  return (at.rows.begin + n / heads) * s.heads + at.heads.begin + n % heads;
}

void rn_head_norm_forward(rn_head_norm_shape s, rn_head_rows at, const rn_real *alpha, rn_real *o,
                          rn_array y, rn_real *factor) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t n = 0; n < count_of(at); n++) {
    const int64_t i = head_of(s, at, n);
    rn_real *row = o + i * s.width;
    factor[i] = kernels->head_norm(s.kind, s.width, s.eps, alpha[i], row);
    rn_row_store(kernels, y, i * s.width, s.width, row);
  }
}

void rn_head_norm_backward(rn_head_norm_shape s, rn_head_rows at, rn_array y, const rn_real *factor,
                           rn_array dy, rn_real *scratch) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t n = 0; n < count_of(at); n++) {
    const int64_t i = head_of(s, at, n);
    const int64_t y_at = i * s.width;
    const rn_real *y_row = rn_row_load(kernels, y, y_at, s.width, scratch);
    rn_real *dy_row = rn_row_load(kernels, dy, y_at, s.width, scratch + s.width);
    kernels->head_norm_backward(s.kind, s.width, y_row, factor[i], dy_row);
    rn_row_store(kernels, dy, y_at, s.width, dy_row);
  }
}

/* Returns the offset of head i % H of row i / H; ld is the row stride. */
static int64_t head_at(rn_head_norm_shape s, int64_t ld, int64_t i) {
  return i / s.heads * ld + i % s.heads * s.width;
}

static rn_real *load_gate(const rn_kernels *kernels, rn_head_norm_shape s, rn_matrix g, int64_t i,
                          rn_real *scratch) {
  if (g.x.at == NULL) return NULL;
  return rn_row_load(kernels, g.x, head_at(s, g.ld, i), s.width, scratch);
}

void rn_gate_forward(rn_head_norm_shape s, rn_head_rows at, const rn_gate *gate, rn_real *scratch) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t n = 0; n < count_of(at); n++) {
    const int64_t i = head_of(s, at, n);
    const int64_t z_at = head_at(s, gate->z.ld, i);
    const rn_real *y = rn_row_load(kernels, gate->y, i * s.width, s.width, scratch);
    const rn_real *g = load_gate(kernels, s, gate->g, i, scratch + s.width);
    rn_real *z = rn_row_buffer(gate->z.x, z_at, scratch + 2 * s.width);
    kernels->gate(s.width, y, gate->w, g, z);
    rn_row_store(kernels, gate->z.x, z_at, s.width, z);
  }
}

void rn_gate_backward(rn_head_norm_shape s, rn_head_rows at, const rn_gate *gate, rn_array dz,
                      rn_real *scratch) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t n = 0; n < count_of(at); n++) {
    const int64_t i = head_of(s, at, n);
    const int64_t y_at = i * s.width, z_at = head_at(s, gate->z.ld, i);
    const rn_real *y = rn_row_load(kernels, gate->y, y_at, s.width, scratch);
    rn_real *g = load_gate(kernels, s, gate->g, i, scratch + s.width);
    rn_real *dz_row = rn_row_load(kernels, dz, y_at, s.width, scratch + 2 * s.width);
    rn_real *z = rn_row_buffer(gate->z.x, z_at, scratch + 3 * s.width);
    kernels->gate_backward(s.width, y, gate->w, g, dz_row, z);
    rn_row_store(kernels, dz, y_at, s.width, dz_row);
    rn_row_store(kernels, gate->z.x, z_at, s.width, z);
    if (g != NULL) rn_row_store(kernels, gate->g.x, head_at(s, gate->g.ld, i), s.width, g);
  }
}

typedef struct weight_backward {
  rn_head_norm_shape shape;
  const rn_gate *gate;
  rn_array dz;
} weight_backward;

/* For the given rows, adds dz y to sums [V] and then replaces dz by dy. */
static void weight_backward_rows(const void *self, rn_range rows, double *sums) {
  enum { LANES = 16 };
  const weight_backward *work = self;
  const rn_kernels *kernels = rn_kernels_table();
  const int V = work->shape.width, heads = work->shape.heads;
  rn_real y_scratch[LANES], dz_scratch[LANES];
  for (int64_t i = rows.begin * heads; i < rows.end * heads; i++) {
    for (int first = 0; first < V; first += LANES) {
      const int lanes = V - first < LANES ? V - first : LANES;
      const int64_t at = i * V + first;
      rn_real *d = rn_row_load(kernels, work->dz, at, lanes, dz_scratch);
      const rn_real *y = rn_row_load(kernels, work->gate->y, at, lanes, y_scratch);
      for (int e = 0; e < lanes; e++) sums[first + e] += (double)d[e] * (double)y[e];
      for (int e = 0; e < lanes; e++) d[e] *= work->gate->w[first + e];
      rn_row_store(kernels, work->dz, at, lanes, d);
    }
  }
}

void rn_head_weight_backward(rn_head_norm_shape s, rn_rows rows, const rn_head_weight_grads *grads,
                             rn_grad_accumulator *accumulator) {
  const weight_backward work = {s, grads->gate, grads->dz};
  const rn_row_sums sums = {.vectors = 1,
                            .width = s.width,
                            .offset = {grads->offset},
                            .scratch = grads->sums,
                            .self = &work,
                            .add_part = weight_backward_rows};
  rn_row_sums_accumulate(&sums, rows, accumulator);
}
