/** Builds the manifest of a checkpoint from a run, and commits the checkpoint. */
#ifndef RN_TRAINER_CHECKPOINT_MANIFEST_H
#define RN_TRAINER_CHECKPOINT_MANIFEST_H

#include "data/checkpoint/ckpt.h"
#include "trainer/run/run.h"

/** The counters at the time of the save; the run may have continued since. */
typedef struct rn_saved_state {
  int64_t step, tokens, next_sequence, updates;
  int bad_steps;
  Retnet__Stream *stream; /* [B] with data.carry_state, else NULL */
} rn_saved_state;

/**
 * Writes the manifest into the staged folder of state->step and gives the folder its final name.
 * Called by one rank, after all parts are written.
 *
 * Errors: RN_ERR_MISMATCH if the parts do not cover every tensor of the model and every carried
 *         state exactly once; RN_ERR_IO, RN_ERR_MEMORY.
 */
rn_status rn_manifest_commit(rn_err *err, const rn_run *run, const rn_saved_state *state,
                             const rn_ckpt_report *reports, int count);

#endif
