/** Computes the loss on the validation split during a run. */
#ifndef RN_TRAINER_RUN_VALIDATE_H
#define RN_TRAINER_RUN_VALIDATE_H

#include "trainer/run/run.h"

/**
 * Computes the mean loss of the first `sequences` sequences of the validation split (0: all,
 * including the shorter last one).
 *
 * Collective: over the world. Errors: unreadable data (agreed); RN_ERR_MPI.
 */
rn_status rn_validate(rn_err *err, rn_run *run, int64_t sequences, double *loss);

#endif
