/**
 * When a run saves, and what it reports: periodic saves, the last one, and those that fail.
 *
 * Three outcomes differ: saved (the state is on disk under its name), saved but older checkpoints
 * could not be pruned (a warning), and not saved. A failed periodic save does not end the training:
 * the first is reported, the others are counted, and the next one tries again.
 *
 * A periodic save of step k gets its name when step k+1 was good: weights whose own loss is not
 * finite never become a checkpoint. While steps are skipped (run->bad_steps > 0) nothing is saved,
 * named or pruned; a save that is due meanwhile is made after the next good step.
 */
#ifndef RN_TRAINER_CHECKPOINT_SAVING_H
#define RN_TRAINER_CHECKPOINT_SAVING_H

#include "trainer/checkpoint/repeated_warning.h"
#include "trainer/checkpoint/saver.h"
#include "trainer/run/run.h"

typedef struct rn_saving {
  rn_run *run;     /* not owned, */
  rn_saver *saver; /* nor is this */
  bool due;        /* a periodic save is waiting for a good step */
  rn_repeated_warning failures;
} rn_saving;

rn_saving rn_saving_create(rn_run *run, rn_saver *saver);

/** After every step but the last: saves if it is time. Collective. Errors: RN_ERR_MPI. */
rn_status rn_saving_step(rn_err *err, rn_saving *saving);

/** When all writers are done: names their save, if it may be. Collective. Errors: RN_ERR_MPI. */
rn_status rn_saving_written(rn_err *err, rn_saving *saving);

/**
 * Before the run ends, or stops after a good step: the state of this step is on disk when this
 * returns RN_OK.
 *
 * A save of this step that is under way is finished; if it fails, another one is tried.
 * Collective: over the world.
 * Errors: agreed, naming the newest checkpoint that is on disk; RN_ERR_MISMATCH where this step was
 *         skipped, so that its state is not saved.
 */
rn_status rn_saving_last(rn_err *err, rn_saving *saving);

/**
 * After the loop, however it ended (`status`): names a save under way, but drops it if steps are
 * being skipped and its weights may be why; reports what was counted.
 *
 * For RN_ERR_NUMERICS, *err then names the last good checkpoint and what to do.
 * Collective: over the world. Errors: RN_ERR_MPI alone.
 */
rn_status rn_saving_end(rn_err *err, rn_saving *saving, rn_status status);

#endif
