#include "trainer/checkpoint/checkpoint_streams.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/base/arena.h"

/* True if this rank stores the initial states: data.carry_state is set, and this is the first rank
 * of the sequence axis. */
static bool holds_states(const rn_data_stream *data) {
  return data->config->carry_state && data->sequence_rank == 0;
}

static int microbatches_of(const rn_tbptt_streams *c) {
  return (int)((rn_range_count(c->local) + c->size - 1) / c->size);
}

/* The part of one layer's tensor [streams, H K V] that a rank holds for one micro-batch. */
typedef struct state_part {
  char name[RN_STATE_NAME_BYTES];
  int64_t first, count;
  float *states;
} state_part;

static state_part part_at(const rn_data_stream *data, int microbatch, int layer) {
  const rn_tbptt_streams *c = &data->streams;
  const rn_range streams = rn_tbptt_streams_indices(c, microbatch);
  state_part part = {.first = streams.begin * c->stream_elements,
                     .count = rn_range_count(streams) * c->stream_elements};
  part.states = rn_tbptt_streams_states(c, c->initial, microbatch) + layer * part.count;
  snprintf(part.name, sizeof part.name, "layers.%lld.state",
           (long long)(data->layers.begin + layer));
  return part;
}

int rn_streams_slice_count(const rn_data_stream *data) {
  return holds_states(data) ? microbatches_of(&data->streams) * data->streams.layers : 0;
}

void rn_streams_slices(const rn_data_stream *data, char (*names)[RN_STATE_NAME_BYTES],
                       rn_ckpt_slice *slices) {
  const rn_tbptt_streams *c = &data->streams;
  for (int i = 0; i < rn_streams_slice_count(data); i++) {
    const state_part part = part_at(data, i / c->layers, i % c->layers);
    snprintf(names[i], RN_STATE_NAME_BYTES, "%s", part.name);
    slices[i] = (rn_ckpt_slice){.kind = RETNET__TENSOR_KIND__KIND_STATE,
                                .name = names[i],
                                .dims = 2,
                                .shape = {data->config->batch_sequences, c->stream_elements},
                                .first = part.first,
                                .count = part.count,
                                .data = part.states};
  }
}

rn_status rn_streams_gather(rn_err *err, const rn_data_stream *data, rn_world *world,
                            Retnet__Stream **streams) {
  const rn_tbptt_streams *c = &data->streams;
  const int count = data->config->batch_sequences;
  const int64_t length = data->config->sequence_length;
  int64_t *doc_position = NULL;
  *streams = NULL;
  if (!data->config->carry_state) return RN_OK;
  rn_status status = rn_alloc(err, "streams", (size_t)count, sizeof **streams, streams);
  if (status == RN_OK)
    status = rn_alloc(err, "streams", (size_t)count, sizeof *doc_position, &doc_position);
  status = rn_agree(err, world, status);
  for (int64_t b = c->local.begin; status == RN_OK && b < c->local.end; b++) {
    doc_position[b] = c->doc_position[b - c->local.begin];
  }
  if (status == RN_OK) status = rn_world_max(err, world, doc_position, count);
  for (int b = 0; status == RN_OK && b < count; b++) {
    Retnet__Stream *s = &(*streams)[b];
    retnet__stream__init(s);
    s->has_next_sequence = s->has_position = s->has_since = 1;
    s->next_sequence = b * c->sequences + c->next;
    s->position = c->next * length;
    s->since = doc_position[b];
  }
  free(doc_position);
  if (status != RN_OK) {
    free(*streams);
    *streams = NULL;
  }
  return status;
}

static rn_status read_states(rn_err *err, rn_data_stream *data, rn_ckpt *ckpt) {
  const rn_tbptt_streams *c = &data->streams;
  for (int i = 0; i < rn_streams_slice_count(data); i++) {
    const state_part part = part_at(data, i / c->layers, i % c->layers);
    const Retnet__Tensor *tensor = rn_ckpt_tensor(ckpt, RETNET__TENSOR_KIND__KIND_STATE, part.name);
    if (tensor == NULL ||
        rn_ckpt_elements(tensor) != data->config->batch_sequences * c->stream_elements) {
      return rn_fail(err, RN_ERR_USAGE,
                     "%s: tensor %s is missing or does not match the TBPTT streams",
                     rn_ckpt_path(ckpt), part.name);
    }
    RN_TRY(err, rn_ckpt_read(err, ckpt, RETNET__TENSOR_KIND__KIND_STATE, part.name,
                             (rn_range){part.first, part.first + part.count}, part.states));
  }
  return RN_OK;
}

rn_status rn_streams_load(rn_err *err, rn_data_stream *data, rn_ckpt *ckpt) {
  const Retnet__Manifest *m = rn_ckpt_manifest(ckpt);
  const Retnet__Data *now = data->config, *was = rn_ckpt_config(m)->data;
  rn_tbptt_streams *c = &data->streams;
  if (!now->carry_state) return RN_OK;
  if (was->batch_sequences != now->batch_sequences ||
      was->sequence_length != now->sequence_length) {
    rn_tbptt_streams_reset(c);
    c->next = 0;
    return RN_OK;
  }
  if (m->n_stream != (size_t)now->batch_sequences) {
    return rn_fail(err, RN_ERR_USAGE,
                   "%s contains %zu TBPTT streams, but data.batch_sequences is %d",
                   rn_ckpt_path(ckpt), m->n_stream, now->batch_sequences);
  }
  c->next = m->stream[0]->position / now->sequence_length;
  for (int64_t b = c->local.begin; b < c->local.end; b++) {
    c->doc_position[b - c->local.begin] = (int32_t)m->stream[b]->since;
  }
  return read_states(err, data, ckpt);
}
