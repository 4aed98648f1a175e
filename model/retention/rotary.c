#include "model/retention/rotary.h"

#include <math.h>
#include <stdlib.h>

#include "model/kernel/kernels.h"
#include "model/ops/load_row.h"
#include "proto/base/arena.h"

size_t rn_rotary_bytes(int key_width, int max_tokens) {
  const size_t half_dim = (size_t)(key_width / 2);
  return half_dim * sizeof(double) + 2 * (size_t)max_tokens * half_dim * sizeof(rn_real);
}

rn_status rn_rotary_create(rn_err *err, rn_rotary kind, int key_width, int max_tokens,
                           rn_rotary_table *out) {
  *out = (rn_rotary_table){.kind = kind, .half_dim = key_width / 2, .max_tokens = max_tokens};
  const size_t angles = (size_t)max_tokens * (size_t)out->half_dim;
  rn_status status;
  if ((status = rn_alloc(err, "rotation", (size_t)out->half_dim, sizeof(double), &out->theta)) !=
          RN_OK ||
      (status = rn_alloc(err, "rotation", angles, sizeof(rn_real), &out->cosine)) != RN_OK ||
      (status = rn_alloc(err, "rotation", angles, sizeof(rn_real), &out->sine)) != RN_OK) {
    rn_rotary_destroy(out);
    return status;
  }
  rn_spec_angles(kind, key_width, out->theta);
  return RN_OK;
}

void rn_rotary_destroy(rn_rotary_table *table) {
  free(table->theta);
  free(table->cosine);
  free(table->sine);
  *table = (rn_rotary_table){0};
}

void rn_rotary_move(rn_rotary_table *table, int64_t first, int tokens) {
  if (table->first == first && table->tokens >= tokens) return;
  table->first = first;
  table->tokens = tokens;
#pragma omp parallel for schedule(static)
  for (int t = 0; t < tokens; t++) {
    for (int j = 0; j < table->half_dim; j++) {
      const double angle = (double)(first + t) * table->theta[j];
      table->cosine[(int64_t)t * table->half_dim + j] = (rn_real)cos(angle);
      table->sine[(int64_t)t * table->half_dim + j] = (rn_real)sin(angle);
    }
  }
}

/* Rotates bf16 rows head by head, so that `scratch` needs to hold only one head. */
void rn_rotary_apply(const rn_rotary_table *table, rn_rotation rotation, rn_range rows, rn_matrix x,
                     rn_real *scratch) {
  const rn_kernels *kernels = rn_kernels_table();
  const int width = 2 * table->half_dim, together = x.x.bf16 ? 1 : rotation.heads;
  for (int64_t row = rows.begin; row < rows.end; row++) {
    const int64_t at = row % rotation.tokens * table->half_dim;
    for (int h = 0; h < rotation.heads; h += together) {
      const int64_t from = row * x.ld + h * width;
      rn_real *heads = rn_row_load(kernels, x.x, from, width, scratch);
      kernels->rotate(table->kind, together, width, table->cosine + at, table->sine + at,
                      rotation.inverse ? -1 : 1, rotation.scale, heads);
      rn_row_store(kernels, x.x, from, width, heads);
    }
  }
}
