/** Computes the loss on the validation sets during a run. */
#ifndef RN_TRAINER_RUN_VALIDATE_H
#define RN_TRAINER_RUN_VALIDATE_H

#include "trainer/run/run.h"

/** Result of an evaluation. */
typedef struct rn_validation {
  double loss;                      /* mean over the targets of all sets */
  int sets;                         /* number of named sets; 0 if the only set has no name */
  const rn_val_set *set;            /* [sets] */
  double set_loss[RN_MAX_VAL_SETS]; /* [sets] mean loss of each set */
} rn_validation;

/**
 * Computes the mean loss of the first `sequences` sequences of each validation set (0: all,
 * including the shorter last one).
 *
 * Ownership: out->set belongs to the run.
 * Collective: over the world. Errors: unreadable data (agreed); RN_ERR_MPI.
 */
rn_status rn_validate(rn_err *err, rn_run *run, int64_t sequences, rn_validation *out);

#endif
