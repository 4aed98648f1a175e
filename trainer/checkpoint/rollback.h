/**
 * Returns a run to its last good checkpoint after a loss spike (train.spike_action: rollback) and
 * skips the batches from that checkpoint up to the spike.
 */
#ifndef RN_TRAINER_CHECKPOINT_ROLLBACK_H
#define RN_TRAINER_CHECKPOINT_ROLLBACK_H

#include "data/run/run_lock.h"
#include "trainer/checkpoint/saving.h"
#include "trainer/run/run.h"

/**
 * Called after a step that was skipped because it was a spike.
 *
 * Loads the newest checkpoint in run.dir whose step is a multiple of checkpoint.every and whose
 * weights are proven good (rn_saving_is_proven); if there is none, the newest proven one. Multiples
 * of checkpoint.every come first, because a checkpoint that was saved when the run was stopped
 * would not exist in an uninterrupted run, and both runs must continue identically. If a checkpoint
 * is damaged, the previous one is tried. Afterwards, later checkpoints, which belong to the
 * abandoned steps or are damaged, are renamed to step-N.bad.
 *
 * On return the run is in the state of the checkpoint, except that its next batch is the one after
 * the spike, and that TBPTT states are zero. *to is the step of the checkpoint, or -1 if there is
 * none; then nothing has changed. `lock` is the lock of run.dir (NULL on all ranks but 0).
 *
 * Collective: over the world.
 * Errors:     RN_ERR_NUMERICS after train.max_rollbacks rollbacks; those of reading a checkpoint;
 *             RN_ERR_BUSY if the lock is lost; all agreed. RN_ERR_MPI.
 */
rn_status rn_rollback(rn_err *err, rn_saving *saving, rn_run *run, rn_run_lock *lock, int64_t *to);

#endif
