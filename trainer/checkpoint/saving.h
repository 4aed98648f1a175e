/**
 * Decides when a run saves, and reports failed saves. There are periodic saves and a last save.
 *
 * A save has one of three outcomes: saved (the state is on disk under its final name), saved
 * although older checkpoints could not be pruned (a warning), or not saved. A failed periodic save
 * does not end the training: the first failure is reported, later ones are counted, and the next
 * save tries again.
 *
 * A periodic save of step k gets its final name only after step k+1 was good, so a periodic
 * checkpoint never holds weights whose loss is not finite. While steps are skipped (bad_steps > 0),
 * nothing is saved, renamed or pruned; a save that becomes due in that time starts after the next
 * good step.
 */
#ifndef RN_TRAINER_CHECKPOINT_SAVING_H
#define RN_TRAINER_CHECKPOINT_SAVING_H

#include "trainer/checkpoint/repeated_warning.h"
#include "trainer/checkpoint/saver.h"
#include "trainer/run/step_counters.h"

typedef struct rn_saving {
  const Retnet__Config *config;     /* not owned */
  const rn_step_counters *counters; /* counters of the run; not owned */
  rn_saver *saver;                  /* not owned */
  bool due;                         /* a periodic save is due at the next good step */
  bool corrupted;                   /* memory was found to be corrupted */
  int64_t rolled_back_to;           /* step of the last rollback's checkpoint; -1: none */
  rn_repeated_warning failures;
} rn_saving;

/** Returns the initial rn_saving of a run; config, counters and saver must outlive it. */
rn_saving rn_saving_create(const Retnet__Config *config, const rn_step_counters *counters,
                           rn_saver *saver);

/**
 * Starts a periodic save if one is due. Called after every step but the last.
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_saving_step(rn_err *err, rn_saving *saving);

/**
 * Publishes the save in progress if its weights are proven good. Called when all writers are done.
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_saving_written(rn_err *err, rn_saving *saving);

/**
 * Saves the state of the current step before the run ends or stops. RN_OK means that the state is
 * on disk.
 *
 * If a save of this step is in progress, finishes it; if that fails, tries a new save.
 *
 * Collective: over the world.
 * Errors:     agreed, naming the newest checkpoint on disk; RN_ERR_MISMATCH if this step was
 *             skipped and therefore is not saved.
 */
rn_status rn_saving_last(rn_err *err, rn_saving *saving);

/** True if the weights of `step` are proven good: a later step computed a finite loss and gradient
 * with them, and was not a spike. */
bool rn_saving_is_proven(const rn_saving *saving, int64_t step);

/**
 * Called while steps are skipped. Publishes the save in progress, if any, if its weights are proven
 * good; otherwise drops it.
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_saving_settle(rn_err *err, rn_saving *saving);

/** Called after the run has returned to the checkpoint of `step`, which is proven good. */
void rn_saving_rolled_back(rn_saving *saving, int64_t step);

/** Called if memory was found to be corrupted: weights that are not proven good are not published
 * any more. */
void rn_saving_distrust(rn_saving *saving);

/**
 * Finishes the save in progress after the training loop ended with `status`. If steps are being
 * skipped or memory is corrupted, and the weights of that save may be affected, drops the save
 * instead. Reports the number of failed saves.
 *
 * For RN_ERR_NUMERICS, and if memory is corrupted, *err on return names the last good checkpoint
 * and says what to do.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_MPI only.
 */
rn_status rn_saving_end(rn_err *err, rn_saving *saving, rn_status status);

#endif
