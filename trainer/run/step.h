/** One optimizer step: read the batch, run forward and backward, sum over ranks, update. */
#ifndef RN_TRAINER_RUN_STEP_H
#define RN_TRAINER_RUN_STEP_H

#include "trainer/run/run.h"

typedef struct rn_step_result {
  double loss, grad_norm, lr;
  double scan_wait_s; /* time that a rank waited for states in this step, mean over ranks */
  int64_t scan_bytes; /* states that this rank sent in this step */
  bool skipped;       /* loss or norm was not finite: no weight was updated */
} rn_step_result;

/**
 * Performs the step after run->counters and advances them.
 *
 * Loss and gradient norm are those before the update; the norm is that before clipping.
 * Collective: over the world.
 * Errors:     unreadable data (agreed); RN_ERR_MPI; RN_ERR_NUMERICS after train.max_bad_steps
 *             consecutive skipped steps.
 */
rn_status rn_step(rn_err *err, rn_run *run, rn_step_result *out);

#endif
