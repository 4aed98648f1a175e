/** What a checkpoint's manifest says of a run, and the commit that writes it. */
#ifndef RN_TRAINER_CHECKPOINT_MANIFEST_H
#define RN_TRAINER_CHECKPOINT_MANIFEST_H

#include "data/checkpoint/ckpt.h"
#include "trainer/run/run.h"

/** The numbers of the state that was saved; the run may have gone on since. */
typedef struct rn_saved_state {
  int64_t step, tokens, next_sequence, updates;
  int bad_steps;
  Retnet__Stream *stream; /* [B] with carried states, else NULL */
} rn_saved_state;

/**
 * Gives the staged folder of state->step its manifest and its name; by one rank, after all parts.
 *
 * Errors: RN_ERR_MISMATCH when any tensor of the model, or any carried state, is not whole in the
 *         parts; RN_ERR_IO and its like.
 */
rn_status rn_manifest_commit(rn_err *err, const rn_run *run, const rn_saved_state *state,
                             const rn_ckpt_report *reports, int count);

#endif
