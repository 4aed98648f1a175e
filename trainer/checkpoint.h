/** Saving a run and going on from a checkpoint of any layout: what data/ckpt does, collectively. */
#ifndef RN_TRAINER_CHECKPOINT_H
#define RN_TRAINER_CHECKPOINT_H

#include "trainer/run.h"

/**
 * Saves the run's state as step-N and removes what train's keep keys no longer want.
 *
 * Collective: over the world. Errors: RN_ERR_IO and its like, agreed; the run is as it was, and
 * nothing old is removed before the new is whole.
 */
rn_status rn_checkpoint_save(rn_err *err, rn_run *run);

/**
 * Loads the state that checkpoint.resume and checkpoint.init_from ask for, if any.
 *
 * Collective: over the world.
 * Errors: RN_ERR_USAGE naming a key that may not change, with old and new value; a checkpoint that
 *         is asked for and cannot be read.
 */
rn_status rn_checkpoint_resume(rn_err *err, rn_run *run);

#endif
