#include "trainer/optimizer/shard_table.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/base/arena.h"
#include "proto/base/range.h"

/* Returns ceil(count / each). */
static int64_t ceil_div(int64_t count, int64_t each) {
  return (count + each - 1) / each;
}

/* Returns the first element of the block that contains element `at`. */
static int64_t start_of_block(const rn_param_table *table, int64_t at) {
  const int64_t offset = table->param[rn_param_at(table, at)].offset;
  return offset + (at - offset) / RN_BLOCK * RN_BLOCK;
}

/* Returns the offset of a layer's first tensor, which is the retention norm. */
static int64_t layer_begin(const rn_param_table *table, int layer) {
  return table->layer[layer].retention_norm;
}

/* Returns the end of the tensor that begins at `offset`. */
static int64_t tensor_end(const rn_param_table *table, int64_t offset) {
  for (int i = 0; i < table->count; i++) {
    const rn_param *p = &table->param[i];
    if (p->offset == offset) return offset + p->rows * p->cols;
  }
  return table->total;
}

/*
 * Computes edge [layers + 3], the boundaries of the layer groups. In a stage without layers, the
 * embedding and the head form one group.
 */
static void find_groups(const rn_param_table *table, int layers, int64_t *edge) {
  edge[0] = 0;
  for (int i = 0; i < layers; i++) edge[1 + i] = layer_begin(table, i);
  edge[1 + layers] = layers == 0 ? table->total : tensor_end(table, table->layer[layers - 1].fc2);
  edge[2 + layers] = table->total;
}

static rn_status allocate(rn_err *err, const int64_t *group_edge, int tensors, rn_shard_table *o) {
  RN_TRY(err, rn_alloc(err, "buckets", (size_t)o->groups + 1, sizeof *o->first, &o->first));
  for (int p = 0; p < o->groups; p++) {
    const int64_t count = group_edge[p + 1] - group_edge[p];
    o->first[p + 1] = o->first[p] + (int)ceil_div(count, RN_BUCKET);
  }
  o->shards.buckets = o->first[o->groups];
  const size_t buckets = (size_t)o->shards.buckets, edges = (size_t)o->shards.replicas + 1;
  RN_TRY(err, rn_alloc(err, "shards", buckets * edges, sizeof(int64_t), &o->shards.edge));
  return rn_alloc(err, "slices of shards", buckets + (size_t)tensors, sizeof *o->slice, &o->slice);
}

static void cut_bucket(const rn_param_table *table, rn_range bucket, int replicas, int64_t *edge) {
  for (int r = 0; r < replicas; r++) {
    edge[r] =
        start_of_block(table, bucket.begin + rn_cut(rn_range_count(bucket), replicas, r).begin);
  }
  edge[0] = bucket.begin;
  edge[replicas] = bucket.end;
}

static void cut_group(const rn_param_table *table, rn_range group, int first, int last,
                      rn_optimizer_shards *shards) {
  int64_t begin = group.begin;
  for (int b = first; b < last; b++) {
    const int64_t cut = group.begin + rn_cut(rn_range_count(group), last - first, b - first).end;
    const rn_range bucket = {begin, b + 1 == last ? group.end : start_of_block(table, cut)};
    cut_bucket(table, bucket, shards->replicas, shards->edge + (int64_t)b * (shards->replicas + 1));
    begin = bucket.end;
  }
}

static void find_slices(const rn_param_table *table, int mine, rn_shard_table *o) {
  for (int b = 0; b < o->shards.buckets; b++) {
    const rn_range own = rn_optimizer_shards_of(&o->shards, b, mine);
    for (int i = rn_param_at(table, own.begin); i < table->count; i++) {
      const rn_range range = rn_param_within(&table->param[i], own);
      if (table->param[i].offset >= own.end) break;
      if (rn_range_count(range) == 0) continue;
      o->slice[o->slices++] =
          (rn_shard_slice){&table->param[i], range, o->count + range.begin - own.begin, o->blocks};
      o->blocks += ceil_div(rn_range_count(range), RN_BLOCK);
    }
    o->count += rn_range_count(own);
  }
}

rn_status rn_shard_table_create(rn_err *err, const rn_param_table *table, int layers, int replicas,
                                int mine, rn_shard_table *out) {
  int64_t *edge;
  *out = (rn_shard_table){.groups = layers + 2, .shards.replicas = replicas};
  RN_TRY(err, rn_alloc(err, "layer groups", (size_t)layers + 3, sizeof *edge, &edge));
  find_groups(table, layers, edge);
  rn_status status = allocate(err, edge, table->count, out);
  for (int p = 0; status == RN_OK && p < out->groups; p++) {
    cut_group(table, (rn_range){edge[p], edge[p + 1]}, out->first[p], out->first[p + 1],
              &out->shards);
  }
  free(edge);
  if (status != RN_OK) {
    rn_shard_table_destroy(out);
    return status;
  }
  find_slices(table, mine, out);
  return RN_OK;
}

void rn_shard_table_destroy(rn_shard_table *shard_table) {
  free(shard_table->shards.edge);
  free(shard_table->first);
  free(shard_table->slice);
  *shard_table = (rn_shard_table){0};
}

/* Returns the slice that contains block `index`. */
static const rn_shard_slice *slice_of(const rn_shard_table *t, int64_t index) {
  int low = 0, high = t->slices;
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    if (t->slice[middle].first_block <= index) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return &t->slice[low];
}

rn_shard_block rn_shard_table_block(const rn_shard_table *t, int64_t index) {
  assert(0 <= index && index < t->blocks);
  const rn_shard_slice *slice = slice_of(t, index);
  const int64_t at = (index - slice->first_block) * RN_BLOCK, begin = slice->range.begin + at;
  return (rn_shard_block){
      slice, {begin, rn_smaller(begin + RN_BLOCK, slice->range.end)}, slice->offset + at};
}

int64_t rn_shard_table_max_elements(int64_t total, int replicas) {
  const int64_t even = ceil_div(total, replicas);
  return replicas == 1 ? total : rn_smaller(total, even + RN_BLOCK);
}

int64_t rn_shard_table_max_bucket(int64_t total, int replicas) {
  const int64_t even = ceil_div(rn_smaller(total, RN_BUCKET), replicas);
  return rn_smaller(total, ceil_div(even, RN_BLOCK) * RN_BLOCK);
}
