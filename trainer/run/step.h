/**
 * Performs one optimizer step: reads the batch, runs forward and backward, sums over ranks, and
 * updates the weights.
 */
#ifndef RN_TRAINER_RUN_STEP_H
#define RN_TRAINER_RUN_STEP_H

#include "trainer/run/run.h"

typedef struct rn_step_result {
  double loss, grad_norm, lr;
  double scan_wait_s; /* time that a rank waited for states in this step, mean over ranks */
  int64_t scan_bytes; /* bytes of states that this rank sent in this step */
  bool skipped;       /* true if loss or norm was not finite or a spike: no weight was updated */
  rn_spike spike;     /* the spike for which the step was skipped */
} rn_step_result;

/**
 * Performs the step that follows run->counters and advances the counters.
 *
 * The loss and the gradient norm in *out are those before the update; the norm is the one before
 * clipping.
 *
 * Collective: over the world.
 * Errors:     unreadable data (agreed); RN_ERR_MISMATCH (replica_check.h); RN_ERR_MPI;
 *             RN_ERR_NUMERICS after train.max_bad_steps consecutive skipped steps, unless the last
 *             one asks for a rollback, or at a spike if train.spike_action is stop.
 */
rn_status rn_step(rn_err *err, rn_run *run, rn_step_result *out);

/** True if the step was a spike after which the run is to be rolled back. */
bool rn_step_rolls_back(const Retnet__Train *train, const rn_step_result *result);

/**
 * Checks the number of consecutive skipped steps. rn_step does so itself, except after a step that
 * asks for a rollback; the caller does so if the rollback is not possible.
 *
 * Errors: RN_ERR_NUMERICS if train.max_bad_steps is reached; the same on all ranks.
 */
rn_status rn_step_check_bad_steps(rn_err *err, const rn_run *run);

#endif
