/**
 * Supplies the tokens that this rank works on in each step: reads the sequences of a batch, cuts
 * them into segments and groups the segments into the units of the pipeline.
 *
 * The batch of a step depends only on the counters, so a resumed run reads the same data as an
 * uninterrupted one. With data.carry_state the sequences are consecutive parts of streams
 * (tbptt_streams.h); this object owns the positions and states of the streams. Without a train
 * split, tokens are synthetic (for measurements).
 */
#ifndef RN_TRAINER_RUN_DATA_STREAM_H
#define RN_TRAINER_RUN_DATA_STREAM_H

#include "data/batch/batch.h"
#include "model/pass/unit.h"
#include "trainer/parallel/tbptt_streams.h"
#include "trainer/run/datasets.h"
#include "trainer/run/parallel_context.h"
#include "trainer/run/settings.h"
#include "trainer/run/step_counters.h"

typedef struct rn_data_stream {
  rn_datasets *datasets;      /* not owned */
  const Retnet__Data *config; /* not owned */
  const rn_layout *layout;    /* not owned */
  uint64_t seed;              /* seed of the sequence order */
  int vocab;                  /* vocabulary size for synthetic tokens */
  int sequence_rank;          /* index on the sequence axis of the grid */
  rn_range sequences;         /* sequences of each batch that this data rank works on */
  rn_batch *batch;            /* [segments] this rank's tokens of `sequences`, by segment */
  rn_unit *unit;          /* [micro-batches, segments] units of the sequences that were read last */
  int microbatches;       /* number of micro-batches in `unit` */
  int64_t first_sequence; /* global index of the first sequence of the batch of all data ranks */
  int64_t first_position; /* position of the first token of each sequence; 0 unless sequences
                             continue streams */
  rn_range layers;        /* layers of this rank's stage; the streams keep their states */
  rn_tbptt_streams streams; /* used with data.carry_state; empty otherwise */
} rn_data_stream;

/**
 * Allocates the batches. With data.carry_state, also creates the streams, positioned at the start.
 *
 * Ownership: settings and datasets must outlive the stream. rn_data_stream_destroy must be called
 *            even after a failure.
 * Errors:    RN_ERR_MEMORY; RN_ERR_USAGE if there are more streams than sequences; on this rank
 *            only.
 */
rn_status rn_data_stream_create(rn_err *err, const rn_run_settings *settings,
                                const rn_parallel_context *parallel, rn_datasets *datasets,
                                rn_data_stream *out);
void rn_data_stream_destroy(rn_data_stream *stream);

/**
 * Reads the batch of the step that follows `counters` and makes the units of that batch.
 * Errors: those of rn_split_read.
 */
rn_status rn_data_stream_read(rn_err *err, rn_data_stream *stream,
                              const rn_step_counters *counters);

/** Skips the next `batches` batches; with data.carry_state, also sets the states to zero. */
void rn_data_stream_skip(rn_data_stream *stream, int64_t batches);

/**
 * Reads the sequences `stored` of the validation set `val`, `length` tokens of each, and makes the
 * units of these sequences. A segment that cannot be read is filled with synthetic tokens, so that
 * communication can continue. Errors: the first read failure; the units are valid even then.
 */
rn_status rn_data_stream_read_val(rn_err *err, rn_data_stream *stream, rn_split *val,
                                  rn_range stored, int64_t length);

/** Returns the streams, or NULL without data.carry_state. */
rn_tbptt_streams *rn_data_stream_streams(rn_data_stream *stream);

/**
 * Advances the streams; must be called after every step. After a `skipped` step the states are
 * reset to zero, since those that the step computed may not be finite.
 *
 * Collective: over the sequence axis of `grid`. Errors: RN_ERR_MPI.
 */
rn_status rn_data_stream_advance(rn_err *err, rn_data_stream *stream, const rn_grid *grid,
                                 bool skipped);

/** Returns the number of target tokens of this rank in one step; it is the same for every stage. */
int64_t rn_data_stream_targets(const rn_data_stream *stream);

#endif
