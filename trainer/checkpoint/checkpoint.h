/** Selects and loads the checkpoint from which a run continues. The layout of the run that wrote it
 * may have been different. The files are read by data/checkpoint/ckpt.h. */
#ifndef RN_TRAINER_CHECKPOINT_CHECKPOINT_H
#define RN_TRAINER_CHECKPOINT_CHECKPOINT_H

#include "trainer/run/run.h"

/** The checkpoint that a run continues from; empty path: the run starts from step 0. */
typedef struct rn_checkpoint_source {
  rn_path path;
  bool weights_only; /* true for checkpoint.init_from */
  rn_choices choices;
} rn_checkpoint_source;

/**
 * Finds the checkpoint that run.dir, checkpoint.resume and checkpoint.init_from select. Must be
 * called before the run is created, because the checkpoint stores selections that the run keeps
 * (scan algorithm, GEMM backend, kernels; trainer/run/choices.h).
 *
 * Collective: over the world.
 * Errors:     those of rn_checkpoint_find, agreed; RN_ERR_USAGE if checkpoint.resume is never and
 *             run.dir holds checkpoints.
 */
rn_status rn_checkpoint_select(rn_err *err, const Retnet__Config *config, rn_world *world,
                               rn_checkpoint_source *out);

/**
 * Loads the state from `source`; does nothing if its path is empty.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_USAGE naming a key that must not change, with its old and new value;
 *             RN_ERR_FORMAT; all agreed.
 */
rn_status rn_checkpoint_resume(rn_err *err, const rn_checkpoint_source *source, rn_run *run);

/**
 * Loads a checkpoint of this run into the running run. No all-gather of weights may be in flight.
 * After an error, the state of the run is undefined.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_FORMAT, RN_ERR_NOT_FOUND: the checkpoint is damaged; RN_ERR_IO, RN_ERR_MEMORY;
 *             all agreed. RN_ERR_MPI.
 */
rn_status rn_checkpoint_reload(rn_err *err, const char *path, rn_run *run);

#endif
