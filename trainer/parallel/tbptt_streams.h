/**
 * Keeps states from step to step (data.carry_state), to train on unbounded contexts by truncated
 * backpropagation through time (TBPTT).
 *
 * The training split is cut into B contiguous streams in stored order. In every step, stream b
 * reads its next sequence, which starts from the state, the row sum S_n
 * (model/retention/retention.h) and the rotation position at the end of the stream's previous
 * sequence. Gradients do not cross sequence boundaries. When the streams end, they restart from
 * zero states.
 */
#ifndef RN_TRAINER_PARALLEL_TBPTT_STREAMS_H
#define RN_TRAINER_PARALLEL_TBPTT_STREAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/world/grid.h"
#include "model/spec/spec.h"
#include "proto/base/range.h"

typedef struct rn_tbptt_streams {
  int64_t sequences;       /* number of sequences per stream */
  int64_t next;            /* index of the next sequence within its stream */
  rn_range local;          /* streams of this data rank */
  int size, layers;        /* `size`: streams per micro-batch; `layers`: layers of the stage */
  int64_t stream_elements; /* elements of one stream's states in one layer: H K V */
  float *initial; /* states at the start of the next sequences; valid only on the first rank of a
                     sequence */
  float *final;   /* states at the end of the current sequences; valid only on the last rank of a
                     sequence */
  int32_t *doc_position; /* [local] tokens since the start of the document or of the stream */
} rn_tbptt_streams;

/** Parameters of the streams of one rank. */
typedef struct rn_tbptt_streams_shape {
  int64_t split_sequences;
  int batch;      /* B, the number of streams */
  rn_range local; /* streams of this data rank */
  int microbatch, layers;
} rn_tbptt_streams_shape;

/** Returns the number of bytes that `local` streams need for `layers` layers. */
size_t rn_tbptt_streams_bytes(const rn_spec *spec, int layers, int64_t local);

/**
 * Creates the streams, positioned at their first sequences, with zero states. Errors: RN_ERR_USAGE
 * if there are more streams than sequences; RN_ERR_MEMORY.
 */
rn_status rn_tbptt_streams_create(rn_err *err, const rn_spec *spec, rn_tbptt_streams_shape shape,
                                  rn_tbptt_streams *out);
void rn_tbptt_streams_destroy(rn_tbptt_streams *streams);

/**
 * Returns the states of the streams of a micro-batch. `states` is streams->initial or
 * streams->final, and the result points into it. Its shape is [layers, n, K V], where n is the
 * number of heads of all streams of the micro-batch.
 */
float *rn_tbptt_streams_states(const rn_tbptt_streams *streams, float *states, int microbatch);

/** Returns the range of batch indices of the streams in a micro-batch. */
rn_range rn_tbptt_streams_indices(const rn_tbptt_streams *streams, int microbatch);

/** Sets all states to zero, as at the start of the streams; does not change `next`. */
void rn_tbptt_streams_reset(rn_tbptt_streams *streams);

/**
 * Advances `next` and turns the final states into the initial states of the next step; must be
 * called after every step. At the end of the streams, or if `forget` is true (a skipped step), sets
 * the states to zero instead.
 *
 * Collective: over the sequence axis of the grid. Errors: RN_ERR_MPI.
 */
rn_status rn_tbptt_streams_advance(rn_err *err, rn_tbptt_streams *streams, const rn_grid *grid,
                                   bool forget);

#endif
