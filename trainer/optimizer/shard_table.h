/**
 * Assigns the weights of a stage to the ranks that update them: layer groups, their buckets, and
 * this rank's shards.
 *
 * Layer groups are those of proto/ports/layer_group_port.h. A layer group is cut into buckets of
 * about RN_BUCKET elements, and a bucket into one shard per replica; all cuts are at block
 * boundaries. Every replica therefore updates a shard of every bucket that has enough blocks.
 */
#ifndef RN_TRAINER_OPTIMIZER_SHARD_TABLE_H
#define RN_TRAINER_OPTIMIZER_SHARD_TABLE_H

#include "comm/optimizer/shards.h"
#include "model/spec/param.h"
#include "proto/base/status.h"
#include "trainer/optimizer/block.h"

/** Number of elements in a bucket. */
enum { RN_BUCKET = 1 << 20 };

/** The intersection of a tensor and one shard of this rank. */
typedef struct rn_shard_slice {
  const rn_param *param;
  rn_range range;      /* range in the flat parameters */
  int64_t offset;      /* offset of the slice's first element in arrays of this rank's shards */
  int64_t first_block; /* number of blocks in the slices before this one */
} rn_shard_slice;

typedef struct rn_shard_table {
  rn_optimizer_shards shards;
  int groups;
  int *first;            /* [groups + 1] first bucket of each layer group */
  rn_shard_slice *slice; /* [slices] slices of this rank, in ascending order of `offset` */
  int slices;
  int64_t count;  /* number of elements in this rank's shards */
  int64_t blocks; /* number of blocks in this rank's shards */
} rn_shard_table;

/** A block of this rank's shards: at most RN_BLOCK consecutive elements of one tensor. */
typedef struct rn_shard_block {
  const rn_shard_slice *slice;
  rn_range range; /* range in the flat parameters */
  int64_t offset; /* offset of the block's first element in arrays of this rank's shards */
} rn_shard_block;

/**
 * Creates the table for replica `mine` of `replicas` replicas; `table` lists the stage's tensors
 * and must outlive `out`. Errors: RN_ERR_MEMORY.
 */
rn_status rn_shard_table_create(rn_err *err, const rn_param_table *table, int layers, int replicas,
                                int mine, rn_shard_table *out);
void rn_shard_table_destroy(rn_shard_table *shard_table);

/**
 * Returns block `index` of this rank's shards. Callers run one parallel loop over all blocks, which
 * balances better than one loop per tensor, because many tensors are small.
 */
rn_shard_block rn_shard_table_block(const rn_shard_table *shard_table, int64_t index);

/**
 * Returns an upper bound for the number of elements that one replica owns, for a stage of `total`
 * elements.
 */
int64_t rn_shard_table_max_elements(int64_t total, int replicas);

/** Returns an upper bound for the number of elements in one replica's shard of a bucket. */
int64_t rn_shard_table_max_bucket(int64_t total, int replicas);

#endif
