/**
 * Finds silent bit flips (train.check_replicas_every): changes of data in memory or in messages for
 * which the hardware reports no error.
 *
 * After every n-th update, each rank stores XXH3-64 checksums of the weights that it has updated
 * and of their moments. Before the next update, when all weights have arrived everywhere and have
 * been used, it checks that
 *
 *   - its own weights and moments still have these checksums: no bit flipped in memory since the
 *     update,
 *   - every copy of the weights has the checksums stored by the ranks that updated the weights.
 *     There is one copy per node or one per rank (parallel.share_weights); ranks with a common copy
 *     divide the tensors among themselves. A copy with other checksums is known to be the wrong
 *     one, even if there are only two copies,
 *   - the reduce-scatter of gradients, done a second time, gives the same bits.
 *
 * Not checked are the bf16 shadow of the weights, activations, and gradients before the
 * reduce-scatter. The checksum of a tensor is the sum, modulo 2^64, of the hashes of its pieces; a
 * piece is the intersection of the tensor and a shard of the optimizer.
 */
#ifndef RN_TRAINER_RUN_REPLICA_CHECK_H
#define RN_TRAINER_RUN_REPLICA_CHECK_H

#include "trainer/run/local_model.h"
#include "trainer/run/optimizer.h"
#include "trainer/run/parallel_context.h"

/** Checksums of the tensors of the stage, over the part that this rank updates. */
typedef struct rn_tensor_sums {
  uint64_t *weights, *exp_avg, *exp_avg_sq; /* [tensors] */
} rn_tensor_sums;

typedef struct rn_replica_check {
  int64_t every; /* 0: never */
  int64_t step;  /* step after which `own` was stored; -1: nothing to check */
  bool damaged;  /* true if a check has failed; the same on all ranks */
  int tensors, stages, max_tensors;
  rn_tensor_sums own, now;
  int64_t *all; /* [stages, max_tensors] checksums of whole tensors, by stage */
} rn_replica_check;

/** The parts of a run that are checked. */
typedef struct rn_checked_state {
  const rn_parallel_context *parallel;
  rn_weights *weights;
  rn_optimizer *optimizer;
} rn_checked_state;

/**
 * Creates the check; allocates nothing if train.check_replicas_every is 0.
 *
 * Collective: over the world. Ownership: rn_replica_check_destroy must be called even after a
 *             failure.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_replica_check_create(rn_err *err, const rn_run_settings *settings,
                                  rn_checked_state state, rn_replica_check *out);
void rn_replica_check_destroy(rn_replica_check *check);

/** Stores the checksums of this rank's shards after the update of `step`, if a check is due
 * then. */
void rn_replica_check_record(rn_replica_check *check, rn_checked_state state, int64_t step);

/** Discards the stored checksums, because the weights are about to be replaced. */
void rn_replica_check_forget(rn_replica_check *check);

/**
 * If checksums are stored, checks the weights and moments against them and discards them. No
 * all-gather of weights may be in flight.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_MISMATCH, agreed, naming tensor, rank and host; RN_ERR_MPI.
 */
rn_status rn_replica_check_verify(rn_err *err, rn_replica_check *check, rn_checked_state state);

/**
 * If checksums are stored, repeats the reduce-scatter of gradients and compares both results.
 * Called after rn_optimizer_sum_gradients, before rn_replica_check_verify.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_MISMATCH, agreed, naming tensor, rank and host; RN_ERR_MPI.
 */
rn_status rn_replica_check_gradients(rn_err *err, rn_replica_check *check, rn_checked_state state);

#endif
