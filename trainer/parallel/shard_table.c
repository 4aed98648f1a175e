#include "trainer/parallel/shard_table.h"

#include <stdlib.h>

#include "proto/base/arena.h"
#include "proto/base/range.h"

/* ceil(count / each). */
static int64_t pieces_in(int64_t count, int64_t each) {
  return (count + each - 1) / each;
}

/* The first element of the block that contains element `at`. */
static int64_t start_of_block(const rn_param_table *table, int64_t at) {
  const int64_t offset = table->param[rn_param_at(table, at)].offset;
  return offset + (at - offset) / RN_BLOCK * RN_BLOCK;
}

/* Offset of a layer's first tensor, which is the retention norm. */
static int64_t layer_begin(const rn_param_table *table, int layer) {
  return table->layer[layer].retention_norm;
}

/* End of the tensor that begins at `offset`. */
static int64_t tensor_end(const rn_param_table *table, int64_t offset) {
  for (int i = 0; i < table->count; i++) {
    const rn_param *p = &table->param[i];
    if (p->offset == offset) return offset + p->rows * p->cols;
  }
  return table->total;
}

/* Boundaries edge [layers + 3] of the layer groups. A stage without layers has its embedding and
 * head in one group. */
static void find_parts(const rn_param_table *table, int layers, int64_t *edge) {
  edge[0] = 0;
  for (int i = 0; i < layers; i++) edge[1 + i] = layer_begin(table, i);
  edge[1 + layers] = layers == 0 ? table->total : tensor_end(table, table->layer[layers - 1].fc2);
  edge[2 + layers] = table->total;
}

static rn_status take_memory(rn_err *err, const int64_t *part_edge, int tensors,
                             rn_shard_table *o) {
  RN_TRY(err, rn_alloc(err, "buckets", (size_t)o->parts + 1, sizeof *o->first, &o->first));
  for (int p = 0; p < o->parts; p++) {
    const int64_t count = part_edge[p + 1] - part_edge[p];
    o->first[p + 1] = o->first[p] + (int)pieces_in(count, RN_BUCKET);
  }
  o->shares.buckets = o->first[o->parts];
  const size_t buckets = (size_t)o->shares.buckets, edges = (size_t)o->shares.replicas + 1;
  RN_TRY(err, rn_alloc(err, "shares of ranks", buckets * edges, sizeof(int64_t), &o->shares.edge));
  return rn_alloc(err, "shares of ranks", buckets + (size_t)tensors, sizeof *o->piece, &o->piece);
}

static void cut_bucket(const rn_param_table *table, rn_range bucket, int replicas, int64_t *edge) {
  for (int r = 0; r < replicas; r++) {
    edge[r] =
        start_of_block(table, bucket.begin + rn_cut(rn_range_count(bucket), replicas, r).begin);
  }
  edge[0] = bucket.begin;
  edge[replicas] = bucket.end;
}

static void cut_part(const rn_param_table *table, rn_range part, int first, int last,
                     rn_optimizer_shards *shares) {
  int64_t begin = part.begin;
  for (int b = first; b < last; b++) {
    const int64_t cut = part.begin + rn_cut(rn_range_count(part), last - first, b - first).end;
    const rn_range bucket = {begin, b + 1 == last ? part.end : start_of_block(table, cut)};
    cut_bucket(table, bucket, shares->replicas, shares->edge + (int64_t)b * (shares->replicas + 1));
    begin = bucket.end;
  }
}

static void find_pieces(const rn_param_table *table, int mine, rn_shard_table *o) {
  for (int b = 0; b < o->shares.buckets; b++) {
    const rn_range own = rn_optimizer_shards_of(&o->shares, b, mine);
    for (int i = rn_param_at(table, own.begin); i < table->count; i++) {
      const rn_range range = rn_param_within(&table->param[i], own);
      if (table->param[i].offset >= own.end) break;
      if (rn_range_count(range) == 0) continue;
      o->piece[o->pieces++] =
          (rn_shard_piece){&table->param[i], range, o->count + range.begin - own.begin};
    }
    o->count += rn_range_count(own);
  }
}

rn_status rn_shard_table_create(rn_err *err, const rn_param_table *table, int layers, int replicas,
                                int mine, rn_shard_table *out) {
  int64_t *edge;
  *out = (rn_shard_table){.parts = layers + 2, .shares.replicas = replicas};
  RN_TRY(err, rn_alloc(err, "parts", (size_t)layers + 3, sizeof *edge, &edge));
  find_parts(table, layers, edge);
  rn_status status = take_memory(err, edge, table->count, out);
  for (int p = 0; status == RN_OK && p < out->parts; p++) {
    cut_part(table, (rn_range){edge[p], edge[p + 1]}, out->first[p], out->first[p + 1],
             &out->shares);
  }
  free(edge);
  if (status != RN_OK) {
    rn_shard_table_destroy(out);
    return status;
  }
  find_pieces(table, mine, out);
  return RN_OK;
}

void rn_shard_table_destroy(rn_shard_table *shard_table) {
  free(shard_table->shares.edge);
  free(shard_table->first);
  free(shard_table->piece);
  *shard_table = (rn_shard_table){0};
}

int64_t rn_shard_table_max_elements(int64_t total, int replicas) {
  const int64_t even = pieces_in(total, replicas);
  return replicas == 1 ? total : rn_smaller(total, even + RN_BLOCK);
}

int64_t rn_shard_table_max_bucket(int64_t total, int replicas) {
  const int64_t even = pieces_in(rn_smaller(total, RN_BUCKET), replicas);
  return rn_smaller(total, pieces_in(even, RN_BLOCK) * RN_BLOCK);
}
