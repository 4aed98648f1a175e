#include "trainer/run/data_stream.h"

#include <stdlib.h>

#include "data/batch/sampler.h"
#include "proto/base/arena.h"
#include "trainer/parallel/shapes.h"

/* ---- creating ---- */

static rn_status create_batches(rn_err *err, const rn_run_settings *settings, rn_data_stream *s) {
  const int tokens = rn_shapes_tokens(settings->config, s->layout);
  const int64_t own = rn_range_count(s->sequences), unit = s->layout->microbatch;
  const int sequences = (int)(own > unit ? own : unit);
  const size_t segments = (size_t)s->layout->segments;
  RN_TRY(err, rn_alloc(err, "batches", segments, sizeof *s->batch, &s->batch));
  for (size_t k = 0; k < segments; k++) {
    RN_TRY(err, rn_batch_create(err, sequences, tokens, s->config->sequence_length, &s->batch[k]));
  }
  return rn_alloc(err, "units", segments * (size_t)rn_shapes_microbatches(s->layout, sequences),
                  sizeof *s->unit, &s->unit);
}

static rn_status create_streams(rn_err *err, const rn_spec *spec, rn_data_stream *s) {
  if (!s->config->carry_state) return RN_OK;
  const rn_datasets *d = s->datasets;
  const int length = s->config->sequence_length;
  const rn_tbptt_streams_shape shape = {
      .split_sequences = d->sources > 0 ? rn_split_sequences(&d->train[0].split, length) : 0,
      .batch = s->config->batch_sequences,
      .local = s->sequences,
      .microbatch = s->layout->microbatch,
      .layers = (int)rn_range_count(s->layers)};
  return rn_tbptt_streams_create(err, spec, shape, &s->streams);
}

rn_status rn_data_stream_create(rn_err *err, const rn_run_settings *settings,
                                const rn_parallel_context *parallel, rn_datasets *datasets,
                                rn_data_stream *out) {
  *out = (rn_data_stream){.datasets = datasets,
                          .config = settings->config->data,
                          .layout = &settings->plan.layout,
                          .seed = (uint64_t)settings->config->run->seed,
                          .vocab = settings->spec.vocab,
                          .sequence_rank = rn_grid_sequence(parallel->grid),
                          .sequences = parallel->sequences,
                          .layers = parallel->layers};
  RN_TRY(err, create_batches(err, settings, out));
  return create_streams(err, &settings->spec, out);
}

void rn_data_stream_destroy(rn_data_stream *s) {
  for (int k = 0; s->batch != NULL && k < s->layout->segments; k++) rn_batch_destroy(&s->batch[k]);
  free(s->batch);
  free(s->unit);
  rn_tbptt_streams_destroy(&s->streams);
  *s = (rn_data_stream){.datasets = NULL};
}

/* ---- units ---- */

/* Returns the range of this rank's tokens in a segment of a sequence of `length` tokens. */
static rn_range segment_tokens(const rn_data_stream *s, int64_t length, int segment) {
  return rn_layout_piece(s->layout, length, segment * s->layout->sequence + s->sequence_rank);
}

/* Returns the unit that consists of sequences first .. last-1 of one segment's batch. */
static rn_unit unit_of(const rn_batch *b, int reduction_block, int first, int last) {
  const int64_t row = (int64_t)first * b->tokens;
  return (rn_unit){.sequences = last - first,
                   .tokens = b->tokens,
                   .reduction_block = reduction_block,
                   .input = b->input + row,
                   .target = b->target + row,
                   .doc_position = b->doc_position + row,
                   .sequence_index = b->sequence_index + first,
                   .position = b->position};
}

/*
 * Divides the sequences in the batches into micro-batches. `step` selects the random numbers of
 * dropout; `position` is the position of the first token of the sequences.
 */
static void make_units(rn_data_stream *s, int sequences, int64_t step, int64_t position) {
  const int size = s->layout->microbatch, segments = s->layout->segments;
  s->microbatches = rn_shapes_microbatches(s->layout, sequences);
  for (int m = 0; m < s->microbatches; m++) {
    const int first = m * size, last = first + size < sequences ? first + size : sequences;
    for (int k = 0; k < segments; k++) {
      rn_unit *unit = &s->unit[m * segments + k];
      *unit = unit_of(&s->batch[k], s->layout->reduction_block, first, last);
      unit->position += position;
      unit->step = step;
    }
  }
}

static void start_batches(rn_data_stream *s, int64_t length) {
  for (int k = 0; k < s->layout->segments; k++) {
    const rn_range tokens = segment_tokens(s, length, k);
    rn_batch_start(&s->batch[k], tokens.begin, tokens.end);
  }
}

/* ---- the train split ---- */

/* Returns the seed of the sequence order of a source; each source of a mixture has a different
 * order. */
static uint64_t seed_of(const rn_data_stream *s, int source) {
  return s->seed + (uint64_t)source * UINT64_C(0x9e3779b97f4a7c15);
}

/* Reads the sequence with global index g: the mixture selects the source, and the shuffled order of
 * the source selects the sequence. */
static rn_status read_sequence(rn_err *err, rn_data_stream *s, int64_t g) {
  const int length = s->config->sequence_length;
  const rn_mix_sample sample = rn_mix_sample_at(&s->datasets->mix, g);
  rn_split *split = &s->datasets->train[sample.source].split;
  const int64_t stored = rn_sampler_sequence(seed_of(s, sample.source),
                                             rn_split_sequences(split, length), sample.index);
  for (int k = 0; k < s->layout->segments; k++) {
    RN_TRY(err, rn_batch_add(err, &s->batch[k],
                             (rn_sequence_source){split, length, s->config->reset_at_documents},
                             stored, g));
  }
  return RN_OK;
}

/* Reads the next sequence of the batch's stream i; g is the global index of that sequence. */
static rn_status read_stream(rn_err *err, rn_data_stream *s, int64_t i, int64_t g) {
  int32_t *doc_position = &s->streams.doc_position[i - s->sequences.begin], after = 0;
  const int64_t stored = i * s->streams.sequences + s->streams.next;
  for (int k = 0; k < s->layout->segments; k++) {
    after = *doc_position;
    RN_TRY(err, rn_batch_continue(
                    err, &s->batch[k],
                    (rn_sequence_source){&s->datasets->train[0].split, s->config->sequence_length,
                                         s->config->reset_at_documents},
                    stored, g, &after));
  }
  *doc_position = after;
  return RN_OK;
}

static void fill_synthetic(rn_data_stream *s, int64_t g) {
  for (int k = 0; k < s->layout->segments; k++) {
    rn_batch_fill_synthetic(&s->batch[k], s->vocab, g);
  }
}

rn_status rn_data_stream_read(rn_err *err, rn_data_stream *s, const rn_step_counters *counters) {
  s->first_sequence = counters->next_sequence;
  s->first_position = s->streams.next * s->config->sequence_length;
  start_batches(s, s->config->sequence_length);
  for (int64_t i = s->sequences.begin; i < s->sequences.end; i++) {
    const int64_t g = s->first_sequence + i;
    if (s->datasets->sources == 0) {
      fill_synthetic(s, g);
    } else if (s->config->carry_state) {
      RN_TRY(err, read_stream(err, s, i, g));
    } else {
      RN_TRY(err, read_sequence(err, s, g));
    }
  }
  make_units(s, (int)rn_range_count(s->sequences), counters->step + 1, s->first_position);
  return RN_OK;
}

rn_tbptt_streams *rn_data_stream_streams(rn_data_stream *s) {
  return s->config->carry_state ? &s->streams : NULL;
}

rn_status rn_data_stream_advance(rn_err *err, rn_data_stream *s, const rn_grid *grid,
                                 bool skipped) {
  return s->config->carry_state ? rn_tbptt_streams_advance(err, &s->streams, grid, skipped) : RN_OK;
}

void rn_data_stream_skip(rn_data_stream *s, int64_t batches) {
  if (!s->config->carry_state) return;
  s->streams.next = (s->streams.next + batches) % s->streams.sequences;
  rn_tbptt_streams_reset(&s->streams);
}

int64_t rn_data_stream_targets(const rn_data_stream *s) {
  int64_t tokens = 0;
  for (int k = 0; k < s->layout->segments; k++) {
    tokens += rn_range_count(segment_tokens(s, s->config->sequence_length, k));
  }
  return tokens * rn_range_count(s->sequences);
}

/* ---- validation ---- */

/* Reads sequence i of a validation set. Fills segments that cannot be read with synthetic tokens.
 */
static rn_status read_val_or_fill(rn_err *err, rn_data_stream *s, rn_split *val, int64_t i) {
  rn_status first = RN_OK;
  for (int k = 0; k < s->layout->segments; k++) {
    const rn_status status = rn_batch_add(
        err, &s->batch[k],
        (rn_sequence_source){val, s->config->sequence_length, s->config->reset_at_documents}, i, i);
    if (status == RN_OK) continue;
    rn_batch_fill_synthetic(&s->batch[k], s->vocab, i);
    if (first == RN_OK) first = status;
  }
  return first;
}

rn_status rn_data_stream_read_val(rn_err *err, rn_data_stream *s, rn_split *val, rn_range stored,
                                  int64_t length) {
  rn_status first = RN_OK;
  start_batches(s, length);
  for (int64_t i = stored.begin; i < stored.end; i++) {
    const rn_status status = read_val_or_fill(err, s, val, i);
    if (first == RN_OK) first = status;
  }
  make_units(s, (int)rn_range_count(stored), 0, 0);
  return first;
}
