/** Saves and loads the TBPTT streams: the position of each stream, and its states by layer. */
#ifndef RN_TRAINER_CHECKPOINT_CHECKPOINT_STREAMS_H
#define RN_TRAINER_CHECKPOINT_CHECKPOINT_STREAMS_H

#include "data/checkpoint/ckpt.h"
#include "trainer/run/data_stream.h"

/** Maximum size of the name of a state tensor. The states of a layer are a tensor [streams, H K V]
 * of KIND_STATE. */
enum { RN_STATE_NAME_BYTES = 40 };

/** Returns the number of slices that rn_streams_slices fills on this rank. */
int rn_streams_slice_count(const rn_data_stream *data);

/**
 * Describes the states that this rank stores: those from which the next sequence of each stream
 * starts. Fills one slice per micro-batch and layer.
 *
 * Shapes:    slices, names [rn_streams_slice_count].
 * Ownership: the slices point into `names` and into the stream's states.
 */
void rn_streams_slices(const rn_data_stream *data, char (*names)[RN_STATE_NAME_BYTES],
                       rn_ckpt_slice *slices);

/**
 * Gathers the positions of all streams on every rank: *streams [B], or NULL without
 * data.carry_state.
 *
 * Collective: over the world.
 * Ownership:  the caller frees *streams.
 * Errors:     RN_ERR_MEMORY, agreed.
 */
rn_status rn_streams_gather(rn_err *err, const rn_data_stream *data, rn_world *world,
                            Retnet__Stream **streams);

/**
 * Restores the positions and states of the streams, on any layout. If data.batch_sequences or
 * data.sequence_length has changed (checkpoint.reset_lanes allows that), the streams start from the
 * beginning.
 *
 * Errors: those of rn_ckpt_read; RN_ERR_USAGE if the checkpoint lacks these streams.
 */
rn_status rn_streams_load(rn_err *err, rn_data_stream *data, rn_ckpt *ckpt);

#endif
