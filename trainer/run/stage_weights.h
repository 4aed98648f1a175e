/**
 * Holds the weights of this rank's stage, and assigns weights to the ranks that update them. The
 * replicas of a stage on one node share one copy where possible (parallel.share_weights).
 *
 * Each replica writes only its own shards; comm/optimizer/all_gather.h fetches the shards of the
 * other replicas.
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
  int64_t total;         /* number of elements in the stage */
  rn_shard_table shards; /* shards that this rank updates */
  rn_node *node;         /* the ranks that share one copy of the weights */
  rn_shared_array *memory;
  rn_shared_array *derived; /* values that the stage derives from the weights (bf16 shadow); NULL:
                               none, or not shared */
  bool is_current;          /* true if `derived` matches the weights */
  rn_weights_gather gather; /* fetches the shards of other replicas */
  float *params;        /* [total] weights, in `memory`; an all-gather of them may be in flight */
  int64_t shared_bytes; /* bytes of `memory` and `derived` together */
  int sharing_ranks;    /* maximum number of ranks that share one copy, over nodes and stages; 1: no
                           sharing */
} rn_weights;

/**
 * Allocates zeroed weights, divides them into shards, and lets `stage` adopt the array, that is,
 * use it as its own (rn_stage_adopt_weights). If the stage refuses, weights are copied to the
 * stage, layer group by layer group, as they arrive.
 *
 * With parallel.share_weights auto, ranks share if a node has several ranks of one stage and every
 * node has enough shared memory; if memory is insufficient, a warning gives the reason. For tests
 * of communication between nodes, the environment variable RETNET_NODE_RANKS=n splits a host into
 * nodes with n ranks of a stage each (0: all).
 *
 * Collective: over the world.
 * Ownership:  stage and grid must outlive the weights. rn_weights_destroy must be called even after
 *             a failure.
 * Errors:     RN_ERR_USAGE naming parallel.share_weights if it is on and sharing is impossible, or
 *             naming RETNET_NODE_RANKS if it is not a number of at least 0; RN_ERR_MEMORY; agreed.
 */
rn_status rn_weights_create(rn_err *err, const Retnet__Parallel *config,
                            const rn_parallel_context *parallel, rn_stage *stage, rn_weights *out);

/** Destroys the weights. Collective: over the world. */
void rn_weights_destroy(rn_weights *weights);

/** Initializes this rank's shards; the values depend only on the seed. */
void rn_weights_init_shards(rn_weights *weights, uint64_t seed);

/**
 * Starts to fetch the shards of the other replicas; every replica must have updated its own shards.
 * Collective: over the replicas. Errors: RN_ERR_MPI.
 */
rn_status rn_weights_start_fetch(rn_err *err, rn_weights *weights);

/** Waits until all weights have arrived. Collective: over the replicas. Errors: RN_ERR_MPI. */
rn_status rn_weights_finish_fetch(rn_err *err, rn_weights *weights);

/**
 * Updates the bf16 shadow of the weights, if the stage has one, has adopted the array of the
 * weights, and the weights have changed. Ranks that share the memory divide this work. Collective:
 * over the replicas.
 */
rn_status rn_weights_cast(rn_err *err, rn_weights *weights);

/**
 * Returns the number of bytes of weights that the ranks of this node share. Only one rank of the
 * node returns it, the others return 0, so that the sum over the node is right.
 */
int64_t rn_weights_shared_bytes(const rn_weights *weights);

#endif
