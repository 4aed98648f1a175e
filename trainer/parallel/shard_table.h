/**
 * Which of a stage's weights a rank updates: parts, their buckets, and this rank's pieces.
 *
 * Parts are those of proto/ports/layer_group_port.h. A part is cut into buckets of about RN_BUCKET
 * elements, a bucket into a share for each replica, all on edges of blocks: so every replica has
 * work on every large bucket as soon as its gradient is there.
 */
#ifndef RN_TRAINER_PARALLEL_SHARD_TABLE_H
#define RN_TRAINER_PARALLEL_SHARD_TABLE_H

#include "comm/optimizer/shards.h"
#include "model/spec/param.h"
#include "proto/base/status.h"

/** Elements: of a block, the unit of shares and norms, never across tensors; of a bucket. */
enum { RN_BLOCK = 16384, RN_BUCKET = 1 << 20 };

/** What of a tensor lies in one share of this rank. */
typedef struct rn_shard_piece {
  const rn_param *param;
  rn_range range; /* of the flat parameters */
  int64_t at;     /* of its first element in the arrays that hold this rank's shares */
} rn_shard_piece;

typedef struct rn_shard_table {
  rn_optimizer_shards shares;
  int parts;
  int *first;            /* [parts + 1] bucket of a part */
  rn_shard_piece *piece; /* [pieces] of this rank, by place */
  int pieces;
  int64_t count; /* elements of this rank */
} rn_shard_table;

/** For replica `mine` of `replicas` of the stage whose table it is. Errors: RN_ERR_MEMORY. */
rn_status rn_shard_table_create(rn_err *err, const rn_param_table *table, int layers, int replicas,
                                int mine, rn_shard_table *out);
void rn_shard_table_destroy(rn_shard_table *shard_table);

/** The elements that a replica owns at most, of `total`; and of one bucket: known beforehand. */
int64_t rn_shard_table_max_elements(int64_t total, int replicas);
int64_t rn_shard_table_max_bucket(int64_t total, int replicas);

#endif
