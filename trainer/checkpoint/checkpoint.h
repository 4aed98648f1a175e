/** Going on from a checkpoint of any layout: what data/ckpt reads, collectively. */
#ifndef RN_TRAINER_CHECKPOINT_CHECKPOINT_H
#define RN_TRAINER_CHECKPOINT_CHECKPOINT_H

#include "trainer/run/run.h"

/** The checkpoint that a run goes on from; path empty: the run starts from step 0. */
typedef struct rn_checkpoint_source {
  rn_path path;
  bool weights_only; /* checkpoint.init_from */
  rn_choices choices;
} rn_checkpoint_source;

/**
 * Finds the checkpoint that run.dir, checkpoint.resume and checkpoint.init_from ask for, before the
 * run is made, which follows its choices.
 *
 * Collective: over the world.
 * Errors: a checkpoint that is asked for and cannot be read; resume never beside checkpoints.
 */
rn_status rn_checkpoint_look(rn_err *err, const Retnet__Config *config, rn_world *world,
                             rn_checkpoint_source *out);

/**
 * Loads the state from there, if from anywhere.
 *
 * Collective: over the world.
 * Errors: RN_ERR_USAGE naming a key that may not change, with old and new value; RN_ERR_FORMAT.
 */
rn_status rn_checkpoint_resume(rn_err *err, const rn_checkpoint_source *source, rn_run *run);

#endif
