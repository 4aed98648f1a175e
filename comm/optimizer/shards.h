/**
 * Who owns what of a stage's weights: the flat array is cut into buckets that follow one another,
 * and each bucket into shares, one for each replica of the stage.
 */
#ifndef RN_COMM_OPTIMIZER_SHARDS_H
#define RN_COMM_OPTIMIZER_SHARDS_H

#include <assert.h>

#include "proto/base/range.h"

/** edge [buckets, replicas + 1]: slice i of bucket b is edge[b][i] .. edge[b][i + 1] - 1. */
typedef struct rn_optimizer_shards {
  int buckets, replicas;
  int64_t *edge;
} rn_optimizer_shards;

/**
 * What a replica owns of a bucket. Slices go round from bucket to bucket, so that uneven ones even
 * out.
 */
static inline rn_range rn_optimizer_shards_of(const rn_optimizer_shards *shares, int bucket,
                                              int replica) {
  assert(0 <= bucket && bucket < shares->buckets && 0 <= replica && replica < shares->replicas);
  const int64_t *edge = shares->edge + (int64_t)bucket * (shares->replicas + 1);
  const int slice = (int)(((int64_t)replica + bucket) % shares->replicas);
  assert(edge[slice] <= edge[slice + 1]);
  return (rn_range){edge[slice], edge[slice + 1]};
}

static inline rn_range rn_optimizer_shards_bucket(const rn_optimizer_shards *shares, int bucket) {
  const int64_t *edge = shares->edge + (int64_t)bucket * (shares->replicas + 1);
  return (rn_range){edge[0], edge[shares->replicas]};
}

#endif
