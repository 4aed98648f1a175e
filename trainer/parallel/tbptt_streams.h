/**
 * States that go on from step to step (data.carry_state): training on unbounded contexts by
 * truncated backpropagation.
 *
 * The training split is cut into B contiguous streams in stored order; in every step, stream b
 * reads its next sequence, which goes on from the state, S_n and rotation position that the one
 * before left. No gradient crosses the cut. A stream that has ended starts over from zero.
 */
#ifndef RN_TRAINER_PARALLEL_TBPTT_STREAMS_H
#define RN_TRAINER_PARALLEL_TBPTT_STREAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/world/grid.h"
#include "model/spec/spec.h"
#include "proto/base/range.h"

typedef struct rn_tbptt_streams {
  int64_t sequences;       /* of every stream */
  int64_t place;           /* in the stream, of the sequence that comes next */
  rn_range share;          /* of the streams: this rank's */
  int size, layers;        /* streams of a micro-batch; layers of the stage */
  int64_t stream_elements; /* of one stream's states in one layer: H K V */
  float *initial;          /* before the next sequences: on the first rank of the sequence axis */
  float *final;            /* behind the sequences at work: on the last one */
  int32_t *since;          /* [share] tokens since a document, or the stream, began */
} rn_tbptt_streams;

/** What streams are made of: the split's sequences, and who works on them. */
typedef struct rn_tbptt_streams_shape {
  int64_t stored; /* sequences of the split */
  int batch;      /* streams: B */
  rn_range share;
  int microbatch, layers;
} rn_tbptt_streams_shape;

/** Bytes of the states of `share` streams in `layers` layers. */
size_t rn_tbptt_streams_bytes(const rn_spec *spec, int layers, int64_t share);

/** Streams at their beginning. Errors: RN_ERR_USAGE for more streams than sequences; memory. */
rn_status rn_tbptt_streams_create(rn_err *err, const rn_spec *spec, rn_tbptt_streams_shape shape,
                                  rn_tbptt_streams *out);
void rn_tbptt_streams_destroy(rn_tbptt_streams *streams);

/** The states of a micro-batch within `states`: [layers, n, K V] for its n heads. */
float *rn_tbptt_streams_part(const rn_tbptt_streams *streams, float *states, int microbatch);

/** The streams of a micro-batch, by their numbers in the batch. */
rn_range rn_tbptt_streams_streams(const rn_tbptt_streams *streams, int microbatch);

/** Zero states, as at the beginning of a stream, wherever the streams are. */
void rn_tbptt_streams_reset(rn_tbptt_streams *streams);

/**
 * After a step: what is behind its sequences is before the next ones; `forget` (a skipped step) or
 * the end of the streams leaves zero instead. Collective: over the sequence axis of the grid.
 */
rn_status rn_tbptt_streams_advance(rn_err *err, rn_tbptt_streams *streams, const rn_grid *grid,
                                   bool forget);

#endif
