/**
 * Defines the ZeRO-1 shards of a stage's weights: the flat array of weights is split into
 * consecutive buckets, and each bucket into as many slices as the stage has replicas. Each replica
 * owns one slice of each bucket: its shard.
 */
#ifndef RN_COMM_OPTIMIZER_SHARDS_H
#define RN_COMM_OPTIMIZER_SHARDS_H

#include <assert.h>

#include "proto/base/range.h"

/** Boundaries of the slices: edge [buckets, replicas + 1]. Slice i of bucket b has the elements
 * edge[b][i] to edge[b][i + 1] - 1. */
typedef struct rn_optimizer_shards {
  int buckets, replicas;
  int64_t *edge;
} rn_optimizer_shards;

/**
 * Returns the shard of a bucket that a replica owns: slice (replica + bucket) mod replicas. Slices
 * differ in length; the rotation gives all replicas nearly the same total. Not collective. Errors:
 * none.
 */
static inline rn_range rn_optimizer_shards_of(const rn_optimizer_shards *shards, int bucket,
                                              int replica) {
  assert(0 <= bucket && bucket < shards->buckets && 0 <= replica && replica < shards->replicas);
  const int64_t *edge = shards->edge + (int64_t)bucket * (shards->replicas + 1);
  const int slice = (int)(((int64_t)replica + bucket) % shards->replicas);
  assert(edge[slice] <= edge[slice + 1]);
  return (rn_range){edge[slice], edge[slice + 1]};
}

/** Returns the range of all elements of a bucket. Not collective. Errors: none. */
static inline rn_range rn_optimizer_shards_bucket(const rn_optimizer_shards *shards, int bucket) {
  const int64_t *edge = shards->edge + (int64_t)bucket * (shards->replicas + 1);
  return (rn_range){edge[0], edge[shards->replicas]};
}

#endif
