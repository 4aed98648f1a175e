/** The carried streams in a checkpoint: where each stands, and its states by stream and layer. */
#ifndef RN_TRAINER_CHECKPOINT_CHECKPOINT_STREAMS_H
#define RN_TRAINER_CHECKPOINT_CHECKPOINT_STREAMS_H

#include "data/checkpoint/ckpt.h"
#include "trainer/run/run.h"

/** The name of a layer's states: tensor [streams, H K V] of KIND_STATE. */
enum { RN_STATE_NAME_BYTES = 40 };

/** How many slices rn_streams_slices gives on this rank. */
int rn_streams_slice_count(const rn_run *run);

/**
 * The slices of the states that this rank holds: those before the next sequences, by layer and
 * micro-batch. Shapes: slices, names [rn_streams_slice_count]; slices point to the names.
 */
void rn_streams_slices(const rn_run *run, char (*names)[RN_STATE_NAME_BYTES],
                       rn_ckpt_slice *slices);

/**
 * Where every stream stands, on all ranks: streams [B], or NULL without carried states.
 * Collective: over the world. Ownership: the caller frees. Errors: RN_ERR_MEMORY, agreed.
 */
rn_status rn_streams_gather(rn_err *err, const rn_run *run, Retnet__Stream **streams);

/**
 * Goes on where the checkpoint's streams stand, on any layout; with checkpoint.reset_lanes and
 * other streams than then, from the beginning.
 * Errors: those of reading; RN_ERR_USAGE for a checkpoint without the streams.
 */
rn_status rn_streams_load(rn_err *err, rn_run *run, rn_ckpt *ckpt);

#endif
