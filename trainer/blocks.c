#include "trainer/blocks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/arena.h"
#include "trainer/optim.h"

static int64_t blocks_in(const rn_param *param) {
  return (param->rows * param->cols + RN_BLOCK - 1) / RN_BLOCK;
}

/* Where a tensor's blocks begin in the whole model, whose tensors are in parameter order. */
static int64_t first_block(const rn_param_table *whole, const rn_param *param) {
  int64_t first = 0;
  for (const rn_param *p = whole->param; strcmp(p->name, param->name) != 0; p++) {
    first += blocks_in(p);
  }
  return first;
}

rn_status rn_blocks_create(rn_err *err, const rn_spec *spec, const rn_param_table *table,
                           rn_blocks *out) {
  rn_param_table *whole = NULL;
  *out = (rn_blocks){.table = table};
  RN_TRY(err, rn_param_table_create(err, spec, 0, spec->layers, &whole));
  rn_status status = rn_alloc(err, "blocks", (size_t)table->count, sizeof *out->first, &out->first);
  for (int i = 0; status == RN_OK && i < table->count; i++) {
    out->first[i] = first_block(whole, &table->param[i]);
  }
  for (int i = 0; i < whole->count; i++) out->total += blocks_in(&whole->param[i]);
  rn_param_table_destroy(&whole);
  return status;
}

void rn_blocks_destroy(rn_blocks *blocks) {
  free(blocks->first);
  *blocks = (rn_blocks){0};
}

/* The start of the block that element `at` lies in. */
static int64_t start_of_block(const rn_param_table *table, int64_t at) {
  for (int i = table->count - 1; i >= 0; i--) {
    const int64_t offset = table->param[i].offset;
    if (offset <= at) return offset + (at - offset) / RN_BLOCK * RN_BLOCK;
  }
  return 0;
}

void rn_blocks_cut(const rn_blocks *blocks, int parts, int64_t *edge) {
  const int64_t total = blocks->table->total;
  for (int i = 0; i < parts; i++) {
    edge[i] = start_of_block(blocks->table, rn_cut(total, parts, i).begin);
  }
  edge[parts] = total;
}

void rn_blocks_squares(const rn_blocks *blocks, rn_range own, const float *values, double *sum) {
  for (int i = 0; i < blocks->table->count; i++) {
    const rn_param *p = &blocks->table->param[i];
    const rn_range mine = rn_param_within(p, own);
    if (p->copy || rn_range_count(mine) == 0) continue;
    assert((mine.begin - p->offset) % RN_BLOCK == 0);
    const int64_t first = blocks->first[i] + (mine.begin - p->offset) / RN_BLOCK;
    const int64_t count = (rn_range_count(mine) + RN_BLOCK - 1) / RN_BLOCK;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < count; b++) {
      const int64_t begin = mine.begin + b * RN_BLOCK;
      const int64_t length = mine.end - begin < RN_BLOCK ? mine.end - begin : RN_BLOCK;
      sum[first + b] = rn_sum_of_squares(length, values + begin - own.begin);
    }
  }
}
