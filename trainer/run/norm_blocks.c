#include "trainer/run/norm_blocks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/span.h"
#include "trainer/optimizer/adamw.h"

static int64_t blocks_in(const rn_param *param) {
  return (param->rows * param->cols + RN_BLOCK - 1) / RN_BLOCK;
}

/*
 * A tensor of the whole model: its index in the parameter table, and the number of blocks before
 * it.
 */
typedef struct cursor {
  const rn_param_table *whole;
  int at;
  int64_t blocks;
} cursor;

/*
 * Returns the index of a tensor's first block. The search continues from the previous tensor,
 * because a stage lists its tensors in the order of the model. Only a copy of a tensor (tied
 * embedding) may be out of order; the search then wraps around.
 */
static int64_t first_block(cursor *c, const rn_param *param) {
  while (strcmp(c->whole->param[c->at].name, param->name) != 0) {
    c->blocks += blocks_in(&c->whole->param[c->at]);
    if (++c->at < c->whole->count) continue;
    c->at = 0;
    c->blocks = 0;
  }
  return c->blocks;
}

rn_status rn_norm_blocks_create(rn_err *err, const rn_spec *spec, const rn_param_table *table,
                                rn_norm_blocks *out) {
  rn_param_table *whole = NULL;
  *out = (rn_norm_blocks){.table = table};
  RN_TRY(err, rn_param_table_create(err, spec, 0, spec->layers, &whole));
  rn_status status = rn_alloc(err, "blocks", (size_t)table->count, sizeof *out->first, &out->first);
  cursor c = {.whole = whole};
  for (int i = 0; status == RN_OK && i < table->count; i++) {
    out->first[i] = first_block(&c, &table->param[i]);
  }
  for (int i = 0; i < whole->count; i++) out->total += blocks_in(&whole->param[i]);
  rn_param_table_destroy(&whole);
  return status;
}

void rn_norm_blocks_destroy(rn_norm_blocks *blocks) {
  free(blocks->first);
  *blocks = (rn_norm_blocks){0};
}

void rn_norm_blocks_squares(const rn_norm_blocks *blocks, const rn_shard_table *own,
                            const float *values, double *sum) {
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < own->blocks; i++) {
    const rn_shard_block b = rn_shard_table_block(own, i);
    const rn_param *param = b.slice->param;
    const int64_t within = b.range.begin - param->offset;
    if (param->copy) continue;
    assert(within % RN_BLOCK == 0);
    const double begin_s = rn_span_task_begin();
    sum[blocks->first[param - blocks->table->param] + within / RN_BLOCK] =
        rn_sum_of_squares_block(rn_range_count(b.range), values + b.offset);
    rn_span_task_end(begin_s);
  }
}
