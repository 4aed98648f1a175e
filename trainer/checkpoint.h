/** Going on from a checkpoint of any layout: what data/ckpt reads, collectively. */
#ifndef RN_TRAINER_CHECKPOINT_H
#define RN_TRAINER_CHECKPOINT_H

#include "trainer/run.h"

/**
 * Loads the state that checkpoint.resume and checkpoint.init_from ask for, if any.
 *
 * Collective: over the world.
 * Errors: RN_ERR_USAGE naming a key that may not change, with old and new value; a checkpoint that
 *         is asked for and cannot be read.
 */
rn_status rn_checkpoint_resume(rn_err *err, rn_run *run);

#endif
