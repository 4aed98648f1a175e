#include "model/embed/embed.h"

#include <assert.h>
#include <math.h>

#include "model/ops/dropout.h"
#include "proto/base/span.h"

rn_embed rn_embed_make(const rn_spec *spec, const rn_param_table *table, uint64_t seed) {
  return (rn_embed){.dim = spec->dim,
                    .vocab = spec->vocab,
                    .scale = spec->scale_embedding ? sqrt((double)spec->dim) : 1.0,
                    .dropout = spec->dropout,
                    .seed = seed,
                    .table = table->embedding,
                    .has_norm = spec->embedding_norm,
                    .norm = rn_norm_make(spec, table->embedding_norm, table->embedding_norm_bias)};
}

static int64_t rows_of(const rn_unit *unit) {
  return (int64_t)unit->sequences * unit->tokens;
}

static void gather_rows(const rn_embed *embed, const rn_pass *pass, rn_real *x) {
  const rn_real *table = pass->params + embed->table;
  const rn_real scale = (rn_real)embed->scale;
  const int32_t *input = pass->unit->input;
  const int dim = embed->dim;
  const int64_t rows = rows_of(pass->unit);
#pragma omp parallel
  {
    const double begin_s = rn_span_task_begin();
#pragma omp for schedule(static) nowait
    for (int64_t r = 0; r < rows; r++) {
      assert(input[r] >= 0 && input[r] < embed->vocab);
      const rn_real *from = table + (int64_t)input[r] * dim;
      for (int i = 0; i < dim; i++) x[r * dim + i] = scale * from[i];
    }
    rn_span_task_end(begin_s);
  }
}

static void drop(const rn_embed *embed, const rn_pass *pass, rn_real *rows) {
  if (!pass->train) return;
  const rn_dropout dropout = {embed->dropout, embed->seed, 0, RN_DROPOUT_EMBED};
  rn_dropout_rows(dropout, pass->unit, embed->dim, rows);
}

void rn_embed_forward(const rn_embed *embed, const rn_pass *pass, rn_real *stat, rn_real *y) {
  const int64_t rows = rows_of(pass->unit);
  gather_rows(embed, pass, y);
  if (embed->has_norm) {
    rn_norm_forward(&embed->norm, pass->params, rows, y, rn_reals(y), stat);
  }
  drop(embed, pass, y);
}

static void scatter_slice(const rn_embed *embed, const rn_pass *pass, int from, int group,
                          const rn_real *dx) {
  const int count = embed->dim - from < RN_EMBED_SLICE ? embed->dim - from : RN_EMBED_SLICE;
  const rn_unit *unit = pass->unit;
  const rn_real scale = (rn_real)embed->scale;
  const int64_t rows = rows_of(unit);
  rn_real values[RN_EMBED_SLICE] = {0};
  for (int64_t r = 0; r < rows; r++) {
    if (unit->input[r] % RN_EMBED_GROUPS != group) continue;
    const rn_real *row = dx + r * embed->dim + from;
    for (int i = 0; i < count; i++) values[i] = scale * row[i];
    const int64_t at = embed->table + (int64_t)unit->input[r] * embed->dim + from;
    rn_grad_accumulator_row(pass->accumulator, at, count, unit->reduction_block, values);
  }
}

void rn_embed_backward(const rn_embed *embed, const rn_pass *pass, const rn_real *stat,
                       rn_real *work, rn_real *dy) {
  drop(embed, pass, dy);
  if (embed->has_norm) {
    gather_rows(embed, pass, work);
    const rn_norm_grads grads = {.x = work, .stat = stat, .dy = dy, .dx = dy};
    rn_norm_backward(&embed->norm, pass->params, rn_rows_of_unit(pass->unit), &grads,
                     pass->accumulator);
  }
#pragma omp parallel for collapse(2) schedule(dynamic)
  for (int from = 0; from < embed->dim; from += RN_EMBED_SLICE) {
    for (int group = 0; group < RN_EMBED_GROUPS; group++) {
      const double begin_s = rn_span_task_begin();
      scatter_slice(embed, pass, from, group, dy);
      rn_span_task_end(begin_s);
    }
  }
}
