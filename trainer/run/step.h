/** One optimizer step: batch, forward and backward of its units, sums over ranks, update. */
#ifndef RN_TRAINER_RUN_STEP_H
#define RN_TRAINER_RUN_STEP_H

#include "trainer/run/run.h"

typedef struct rn_step_result {
  double loss, grad_norm, lr;
  double scan_wait_s; /* that a rank waited for states in this step, mean of all */
  bool skipped;       /* loss or norm were not finite: nothing was updated */
} rn_step_result;

/**
 * Does step run->step + 1 and counts it.
 *
 * Loss and gradient norm are those of the weights before the update, the norm before clipping.
 * Collective: over the world. Errors: data that cannot be read (agreed), RN_ERR_MPI,
 * RN_ERR_NUMERICS after train.max_bad_steps skipped steps in a row.
 */
rn_status rn_step(rn_err *err, rn_run *run, rn_step_result *out);

/**
 * Mean loss of the first `sequences` (0: all, and the shorter last one) of the validation split.
 * Collective: over the world. Errors: data that cannot be read (agreed), RN_ERR_MPI.
 */
rn_status rn_validate(rn_err *err, rn_run *run, int64_t sequences, double *loss);

#endif
