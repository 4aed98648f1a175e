/**
 * The tokens that this rank works on, step by step: it reads the sequences of a batch, cuts them
 * into segments and divides these into the units of the pipeline.
 *
 * The batch of a step follows from the counters alone, so a resumed run reads what an uninterrupted
 * one would. With data.carry_state the sequences continue streams (tbptt_streams.h), whose position
 * and states are kept here. Without a train split, tokens are synthetic (for measurements).
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
  uint64_t seed;              /* of the order of sequences */
  int vocab;                  /* of synthetic tokens */
  int sequence_rank;          /* index on the sequence axis of the grid */
  rn_range sequences;         /* of each batch: those of this data rank */
  rn_batch *batch;            /* [segments] this rank's tokens of them, by segment */
  rn_unit *unit;              /* [micro-batches, segments] of the sequences that were read last */
  int microbatches;           /* of them */
  int64_t first_sequence;     /* global index of the batch's first sequence, on all data ranks */
  int64_t first_position;     /* of the first token of each of its sequences; 0, unless they
                                 continue streams */
  rn_range layers;            /* of the stage, whose states the streams keep */
  rn_tbptt_streams streams;   /* data.carry_state; empty otherwise */
} rn_data_stream;

/**
 * Allocates the batches and, with data.carry_state, the streams, at their beginning.
 *
 * Ownership: settings and datasets must outlive the stream. After a failure, too,
 *            rn_data_stream_destroy frees *out.
 * Errors:    RN_ERR_MEMORY; RN_ERR_USAGE if there are more streams than sequences; on this rank
 *            only.
 */
rn_status rn_data_stream_create(rn_err *err, const rn_run_settings *settings,
                                const rn_parallel_context *parallel, rn_datasets *datasets,
                                rn_data_stream *out);
void rn_data_stream_destroy(rn_data_stream *stream);

/** Reads the batch of the step after `counters` and makes its units. Errors: those of
 * rn_split_read.
 */
rn_status rn_data_stream_read(rn_err *err, rn_data_stream *stream,
                              const rn_step_counters *counters);

/**
 * Reads the sequences `stored` of the validation split, `length` tokens of each, and makes their
 * units. A segment that cannot be read is filled with synthetic tokens, so that communication can
 * continue. Errors: the first failure to read; the units are valid nevertheless.
 */
rn_status rn_data_stream_read_val(rn_err *err, rn_data_stream *stream, rn_range stored,
                                  int64_t length);

/** The streams, or NULL without data.carry_state. */
rn_tbptt_streams *rn_data_stream_streams(rn_data_stream *stream);

/**
 * Called after every step: streams continue, or after a `skipped` step start from zero states,
 * since the step's own may contain anything.
 *
 * Collective: over the sequence axis of `grid`. Errors: RN_ERR_MPI.
 */
rn_status rn_data_stream_advance(rn_err *err, rn_data_stream *stream, const rn_grid *grid,
                                 bool skipped);

/** Target tokens of this rank in one step; the same for every stage. */
int64_t rn_data_stream_targets(const rn_data_stream *stream);

#endif
