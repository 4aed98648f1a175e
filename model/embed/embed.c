#include "model/embed/embed.h"

#include <assert.h>
#include <math.h>

#include "model/ops/dropout.h"

/* Channels whose gradients one thread scatters, over all rows in order. */
enum { SLICE = 32 };

rn_embed rn_embed_make(const rn_spec *spec, const rn_param_table *table) {
  return (rn_embed){.dim = spec->dim,
                    .vocab = spec->vocab,
                    .scale = spec->scale_embedding ? sqrt((double)spec->dim) : 1.0,
                    .dropout = spec->dropout,
                    .table = table->embedding,
                    .has_norm = spec->embedding_norm,
                    .norm = rn_norm_make(spec, table->embedding_norm, table->embedding_norm_bias)};
}

static int64_t rows_of(const rn_unit *unit) {
  return (int64_t)unit->sequences * unit->tokens;
}

static void all_gather(const rn_embed *embed, const rn_real *params, const rn_unit *unit,
                       rn_real *x) {
  const rn_real *table = params + embed->table;
  const rn_real scale = (rn_real)embed->scale;
  const int dim = embed->dim;
  int64_t rows = rows_of(unit);
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows; r++) {
    assert(unit->input[r] >= 0 && unit->input[r] < embed->vocab);
    const rn_real *from = table + (int64_t)unit->input[r] * dim;
    for (int i = 0; i < dim; i++) x[r * dim + i] = scale * from[i];
  }
}

void rn_embed_forward(const rn_embed *embed, const rn_real *params, const rn_unit *unit, bool train,
                      uint64_t seed, rn_real *stat, rn_real *y) {
  all_gather(embed, params, unit, y);
  if (embed->has_norm) rn_norm_forward(&embed->norm, params, rows_of(unit), y, rn_reals(y), stat);
  if (train) rn_dropout_rows(embed->dropout, seed, unit, 0, RN_DROPOUT_EMBED, embed->dim, y);
}

static void scatter_slice(const rn_embed *embed, const rn_unit *unit, int from, int count,
                          const rn_real *dx, rn_grad_accumulator *accumulator) {
  const rn_real scale = (rn_real)embed->scale;
  const int64_t rows = rows_of(unit);
  rn_real values[SLICE] = {0};
  for (int64_t r = 0; r < rows; r++) {
    const rn_real *row = dx + r * embed->dim + from;
    for (int i = 0; i < count; i++) values[i] = scale * row[i];
    int64_t at = embed->table + (int64_t)unit->input[r] * embed->dim + from;
    rn_grad_accumulator_row(accumulator, at, count, unit->leaf, values);
  }
}

void rn_embed_backward(const rn_embed *embed, const rn_real *params, const rn_unit *unit,
                       bool train, uint64_t seed, const rn_real *stat, rn_real *work, rn_real *dy,
                       rn_grad_accumulator *accumulator) {
  if (train) rn_dropout_rows(embed->dropout, seed, unit, 0, RN_DROPOUT_EMBED, embed->dim, dy);
  if (embed->has_norm) {
    all_gather(embed, params, unit, work);
    rn_norm_backward(&embed->norm, params, rn_rows_of_unit(unit), work, stat, dy, NULL, dy,
                     accumulator);
  }
#pragma omp parallel for schedule(static)
  for (int from = 0; from < embed->dim; from += SLICE) {
    int count = embed->dim - from < SLICE ? embed->dim - from : SLICE;
    scatter_slice(embed, unit, from, count, dy, accumulator);
  }
}
