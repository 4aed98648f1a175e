/* Checks that for any number of replicas each element of a stage has one owner. Shards are whole
 * blocks of one tensor, layer groups begin at their layers, and no replica owns much more than
 * the average. The blocks of a replica must cover its shards. */
#include <stdlib.h>

#include "tests/support/check.h"
#include "trainer/optimizer/shard_table.h"

static rn_err err;

static rn_spec model(int dim, int vocab, bool tied) {
  return (rn_spec){.layers = 5,
                   .dim = dim,
                   .value_dim = 2 * dim,
                   .ffn_dim = 2 * dim,
                   .heads = 2,
                   .vocab = vocab,
                   .gate = true,
                   .pre_norm = true,
                   .tie_embeddings = tied};
}

/* Checks that buckets follow one another without gaps, and that the first one of a layer group
 * begins with its layer. */
static void buckets_cover_the_stage(const rn_param_table *table, int layers,
                                    const rn_shard_table *o) {
  int64_t end = 0;
  for (int b = 0; b < o->shards.buckets; b++) {
    const rn_range bucket = rn_optimizer_shards_bucket(&o->shards, b);
    CHECK_EQUAL(bucket.begin, end);
    CHECK(bucket.end > bucket.begin && rn_range_count(bucket) <= RN_BUCKET + RN_BLOCK);
    end = bucket.end;
  }
  CHECK_EQUAL(end, table->total);
  CHECK_EQUAL(o->groups, layers + 2);
  CHECK_EQUAL(o->first[o->groups], o->shards.buckets);
  for (int i = 0; i < layers; i++) {
    const rn_range bucket = rn_optimizer_shards_bucket(&o->shards, o->first[1 + i]);
    CHECK_EQUAL(bucket.begin, table->layer[i].retention_norm);
  }
}

/* Counts the owners of each element: adds 1 for elements in slices of this replica. */
static void mark(const rn_param_table *table, const rn_shard_table *o, int *owners) {
  int64_t count = 0, longest = 0;
  for (int i = 0; i < o->slices; i++) {
    const rn_shard_slice *p = &o->slice[i];
    const int64_t within = p->range.begin - p->param->offset,
                  left = p->range.end - p->param->offset;
    CHECK_EQUAL(p->offset, count);
    CHECK_EQUAL(within % RN_BLOCK, 0);
    CHECK(left == p->param->rows * p->param->cols || left % RN_BLOCK == 0);
    for (int64_t j = p->range.begin; j < p->range.end; j++) owners[j]++;
    count += rn_range_count(p->range);
  }
  CHECK_EQUAL(count, o->count);
  for (int b = 0; b < o->shards.buckets; b++) {
    for (int r = 0; r < o->shards.replicas; r++) {
      const int64_t share = rn_range_count(rn_optimizer_shards_of(&o->shards, b, r));
      if (share > longest) longest = share;
    }
  }
  CHECK(longest <= rn_shard_table_max_bucket(table->total, o->shards.replicas) + RN_BLOCK);
}

/* Checks that the blocks are the slices in order, divided every RN_BLOCK elements. */
static void blocks_cover_the_slices(const rn_shard_table *o) {
  int64_t block = 0, wrong = 0;
  for (int i = 0; i < o->slices; i++) {
    const rn_shard_slice *p = &o->slice[i];
    for (int64_t at = p->range.begin; at < p->range.end; at += RN_BLOCK, block++) {
      const rn_shard_block b = rn_shard_table_block(o, block);
      wrong += b.slice != p || b.range.begin != at ||
               b.range.end != rn_smaller(at + RN_BLOCK, p->range.end) ||
               b.offset != p->offset + at - p->range.begin;
    }
  }
  CHECK_EQUAL(block, o->blocks);
  CHECK_EQUAL(wrong, 0);
}

static void each_element_has_one_owner(const rn_spec *spec, int first, int last, int replicas) {
  rn_param_table *table = NULL;
  if (!CHECK_OK(&err, rn_param_table_create(&err, spec, first, last, &table))) return;
  int *owners = calloc((size_t)table->total, sizeof *owners);
  int64_t wrong = 0;
  for (int mine = 0; mine < replicas; mine++) {
    rn_shard_table o;
    if (!CHECK_OK(&err, rn_shard_table_create(&err, table, last - first, replicas, mine, &o)))
      continue;
    if (mine == 0) buckets_cover_the_stage(table, last - first, &o);
    mark(table, &o, owners);
    blocks_cover_the_slices(&o);
    CHECK(o.count <=
          rn_shard_table_max_elements(table->total, replicas) + (o.groups + 1) * RN_BLOCK / 2);
    rn_shard_table_destroy(&o);
  }
  for (int64_t i = 0; i < table->total; i++) wrong += owners[i] != 1;
  CHECK_EQUAL(wrong, 0);
  free(owners);
  rn_param_table_destroy(&table);
}

int main(void) {
  static const int replicas[] = {1, 2, 3, 5, 8, 33};
  for (size_t i = 0; i < sizeof replicas / sizeof replicas[0]; i++) {
    for (int tied = 0; tied < 2; tied++) {
      const rn_spec small = model(16, 257, tied), large = model(192, 9000, tied);
      each_element_has_one_owner(&small, 0, 5, replicas[i]);
      each_element_has_one_owner(&large, 0, 5, replicas[i]);
      each_element_has_one_owner(&large, 0, 2, replicas[i]);
      each_element_has_one_owner(&large, 1, 3, replicas[i]);
      each_element_has_one_owner(&large, 4, 5, replicas[i]);
    }
  }
  return check_result();
}
