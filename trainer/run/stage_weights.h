/**
 * The weights of this rank's stage, and which rank updates which of them. The replicas of a stage
 * on one node share one copy where possible (parallel.share_weights).
 *
 * Each replica writes only its own shards; comm/optimizer/all_gather.h fetches those of the others.
 */
#ifndef RN_TRAINER_RUN_STAGE_WEIGHTS_H
#define RN_TRAINER_RUN_STAGE_WEIGHTS_H

#include <stdbool.h>

#include "comm/optimizer/shared_array.h"
#include "model/stage/stage.h"
#include "trainer/optimizer/shard_table.h"
#include "trainer/optimizer/weights_gather.h"
#include "trainer/run/parallel_context.h"

typedef struct rn_weights {
  rn_stage *stage;       /* not owned */
  int64_t total;         /* elements of the stage */
  rn_shard_table shards; /* of this rank: what it updates */
  rn_node *node;         /* the ranks that share one copy */
  rn_shared_array *memory;
  rn_shared_array *derived; /* what the stage derives from the weights (bf16 shadow); NULL: not
                               shared, or nothing */
  bool is_current;          /* `derived` matches the weights */
  rn_weights_gather gather; /* fetches the shards of other replicas */
  float *params;            /* [total] in `memory`; an all-gather may be in flight */
  int64_t shared_bytes;     /* of both arrays */
  int sharing_ranks; /* maximum of ranks that share a copy, over nodes and stages; 1: none do */
} rn_weights;

/**
 * Allocates zeroed weights, divides them into shards and offers them to `stage`. A stage that does
 * not adopt them gets a copy, layer group by layer group, as they arrive.
 *
 * With parallel.share_weights auto, ranks share if a node has several ranks of one stage and every
 * node has enough shared memory; if memory is insufficient, a warning gives the reason. For tests
 * of communication between nodes, the environment variable RETNET_NODE_RANKS=n splits a host into
 * nodes with n ranks of a stage each (0: all).
 *
 * Collective: over the world.
 * Ownership:  stage and grid must outlive the weights. After a failure, too, rn_weights_destroy
 *             frees *out.
 * Errors:     RN_ERR_USAGE naming the key if it is on and sharing is impossible, or naming the
 *             variable if it is not a number of 0 or more; RN_ERR_MEMORY; agreed.
 */
rn_status rn_weights_create(rn_err *err, const Retnet__Parallel *config,
                            const rn_parallel_context *parallel, rn_stage *stage, rn_weights *out);

/** Collective: over the world. */
void rn_weights_destroy(rn_weights *weights);

/** Initializes this rank's shards; the values depend on the seed alone. */
void rn_weights_init_shards(rn_weights *weights, uint64_t seed);

/** Starts to fetch the shards of the other replicas, after every replica has changed its own.
 * Collective: over the replicas. Errors: RN_ERR_MPI. */
rn_status rn_weights_start_fetch(rn_err *err, rn_weights *weights);

/** Waits until all weights have arrived. Collective: over the replicas. Errors: RN_ERR_MPI. */
rn_status rn_weights_finish_fetch(rn_err *err, rn_weights *weights);

/**
 * If the weights have changed, lets a stage that has adopted them update what it derives from them.
 * Ranks that share the memory each do a part. Collective: over the replicas.
 */
rn_status rn_weights_cast(rn_err *err, rn_weights *weights);

/** Bytes that the ranks of this node share, reported by one of them; 0 on the others. */
int64_t rn_weights_shared_bytes(const rn_weights *weights);

#endif
