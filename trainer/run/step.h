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
 *             RN_ERR_NUMERICS after train.max_bad_steps consecutive skipped steps, or at a spike if
 *             train.spike_action is stop.
 */
rn_status rn_step(rn_err *err, rn_run *run, rn_step_result *out);

#endif
