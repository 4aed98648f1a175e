#include "model/ops/row_sums.h"

#include <string.h>

#include "model/pass/row_slices.h"
#include "proto/base/arena.h"
#include "proto/base/span.h"

/* Number of elements in a slice of a vector. For each slice, one thread adds the sums of all parts
 * of the rows (row_slices.h). */
enum { SLICE = 16 };

size_t rn_row_sums_bytes(int vectors, int width) {
  return rn_arena_round((size_t)RN_ROW_SLICES * (size_t)vectors * (size_t)width * sizeof(double));
}

static int64_t part_size(const rn_row_sums *s) {
  return (int64_t)s->vectors * s->width;
}

static void sum_part(const rn_row_sums *s, rn_range rows, double *sums) {
  const double begin_s = rn_span_task_begin();
  memset(sums, 0, (size_t)part_size(s) * sizeof *sums);
  s->add_part(s->self, rows, sums);
  rn_span_task_end(begin_s);
}

/* For one slice of a vector, adds the sums of `count` parts of the rows and accumulates the total
 * in the gradient. */
static void accumulate(const double *sums, int64_t count, int64_t stride, rn_range slice,
                       int64_t offset, rn_grad_accumulator *accumulator) {
  const int64_t n = rn_range_count(slice);
  double total[SLICE] = {0};
  rn_real values[SLICE];
  for (int64_t p = 0; p < count; p++) {
    for (int64_t i = 0; i < n; i++) total[i] += sums[p * stride + slice.begin + i];
  }
  for (int64_t i = 0; i < n; i++) values[i] = (rn_real)total[i];
  rn_grad_accumulator_vector(accumulator, offset + slice.begin, n, values);
}

/* Accumulates the sums of `count` parts in the gradient, for one slice of each vector. Each call of
 * the accumulator adds the total of `together` parts. */
static void accumulate_slice(const rn_row_sums *s, int64_t count, int64_t together, rn_range slice,
                             rn_grad_accumulator *accumulator) {
  for (int64_t p = 0; p < count; p += together) {
    for (int v = 0; v < s->vectors; v++) {
      accumulate(s->scratch + p * part_size(s) + (int64_t)v * s->width, together, part_size(s),
                 slice, s->offset[v], accumulator);
    }
  }
}

void rn_row_sums_accumulate(const rn_row_sums *s, rn_rows rows, rn_grad_accumulator *accumulator) {
  const rn_row_slices parts = rn_row_slices_of(rows);
  for (int64_t first = 0; first < parts.count; first += RN_ROW_SLICES) {
    const int64_t count = rn_smaller(parts.count - first, RN_ROW_SLICES);
    const int64_t together = rn_row_slices_together(parts, count);
#pragma omp parallel
    {
#pragma omp for schedule(static)
      for (int64_t p = 0; p < count; p++) {
        sum_part(s, rn_row_slice_at(parts, first + p), s->scratch + p * part_size(s));
      }
#pragma omp for schedule(static)
      for (int64_t at = 0; at < s->width; at += SLICE) {
        accumulate_slice(s, count, together, (rn_range){at, rn_smaller(at + SLICE, s->width)},
                         accumulator);
      }
    }
  }
}
