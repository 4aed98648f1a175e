/**
 * All-gathers a stage's weights over the replicas of the stage, into an array of the trainer. If
 * the stage has adopted this array (uses it as its own, rn_stage_adopt_weights), nothing else
 * happens; otherwise the weights are copied from the array to the stage.
 */
#ifndef RN_TRAINER_OPTIMIZER_WEIGHTS_GATHER_H
#define RN_TRAINER_OPTIMIZER_WEIGHTS_GATHER_H

#include <stdbool.h>

#include "comm/optimizer/all_gather.h"
#include "model/stage/stage.h"

typedef struct rn_weights_gather {
  rn_all_gather *all_gather;         /* owned */
  rn_stage *stage;                   /* not owned */
  const float *weights;              /* [total] array of the all-gather; not owned */
  bool adopted;                      /* true if the stage reads `weights` directly */
  const rn_optimizer_shards *shards; /* not owned */
  int written; /* number of buckets written to the stage since the last start */
} rn_weights_gather;

/**
 * Starts an all-gather; every replica must have updated its shards in `weights`. Collective: over
 * the replicas. Errors: RN_ERR_MPI.
 */
rn_status rn_weights_gather_start(rn_err *err, rn_weights_gather *gather);

/** True if buckets 0..bucket have arrived, so that rn_weights_gather_wait would not wait. */
bool rn_weights_gather_is_complete(const rn_weights_gather *gather, int bucket);

/** Waits until buckets 0..bucket have arrived. Collective: as for rn_all_gather_wait. Errors:
 * RN_ERR_MPI. */
rn_status rn_weights_gather_wait(rn_err *err, rn_weights_gather *gather, int bucket);

/**
 * Writes buckets 0..bucket, which must have arrived, to the stage's weights. Errors: those of
 * rn_stage_map.
 */
rn_status rn_weights_gather_write(rn_err *err, rn_weights_gather *gather, int bucket);

/** Waits until all buckets have arrived; on return, this rank may change its shards. Collective:
 * over the replicas. Errors: RN_ERR_MPI. */
rn_status rn_weights_gather_finish(rn_err *err, rn_weights_gather *gather);

#endif
