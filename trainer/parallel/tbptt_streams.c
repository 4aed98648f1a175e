#include "trainer/parallel/tbptt_streams.h"

#include <stdlib.h>
#include <string.h>

#include "comm/scan/wraparound_send.h"
#include "proto/base/arena.h"

static int64_t elements(const rn_tbptt_streams *c) {
  return rn_range_count(c->local) * c->layers * c->stream_elements;
}

size_t rn_tbptt_streams_bytes(const rn_spec *spec, int layers, int64_t local) {
  const size_t stream = (size_t)spec->dim * (size_t)rn_spec_value_width(spec);
  return (size_t)local * (2 * (size_t)layers * stream * sizeof(float) + sizeof(int32_t));
}

rn_status rn_tbptt_streams_create(rn_err *err, const rn_spec *spec, rn_tbptt_streams_shape shape,
                                  rn_tbptt_streams *out) {
  *out = (rn_tbptt_streams){.sequences = shape.split_sequences / shape.batch,
                            .local = shape.local,
                            .size = shape.microbatch,
                            .layers = shape.layers,
                            .stream_elements = (int64_t)spec->dim * rn_spec_value_width(spec)};
  if (out->sequences < 1) {
    return rn_fail(err, RN_ERR_USAGE,
                   "data.carry_state: the data have only %lld sequences, but data.batch_sequences "
                   "asks for %d streams of at least one sequence each",
                   (long long)shape.split_sequences, shape.batch);
  }
  const size_t count = (size_t)elements(out), local = (size_t)rn_range_count(out->local);
  rn_status status;
  if ((status = rn_alloc(err, "TBPTT states", count, sizeof(float), &out->initial)) != RN_OK ||
      (status = rn_alloc(err, "TBPTT states", count, sizeof(float), &out->final)) != RN_OK ||
      (status = rn_alloc(err, "TBPTT states", local, sizeof(int32_t), &out->doc_position)) !=
          RN_OK) {
    rn_tbptt_streams_destroy(out);
  }
  return status;
}

void rn_tbptt_streams_destroy(rn_tbptt_streams *streams) {
  free(streams->initial);
  free(streams->final);
  free(streams->doc_position);
  *streams = (rn_tbptt_streams){0};
}

float *rn_tbptt_streams_states(const rn_tbptt_streams *c, float *states, int microbatch) {
  return states + (int64_t)microbatch * c->size * c->layers * c->stream_elements;
}

rn_range rn_tbptt_streams_indices(const rn_tbptt_streams *c, int microbatch) {
  const int64_t begin = c->local.begin + (int64_t)microbatch * c->size, end = begin + c->size;
  return (rn_range){begin, end < c->local.end ? end : c->local.end};
}

void rn_tbptt_streams_reset(rn_tbptt_streams *c) {
  memset(c->initial, 0, (size_t)elements(c) * sizeof *c->initial);
  memset(c->doc_position, 0, (size_t)rn_range_count(c->local) * sizeof *c->doc_position);
}

rn_status rn_tbptt_streams_advance(rn_err *err, rn_tbptt_streams *c, const rn_grid *grid,
                                   bool forget) {
  c->next = (c->next + 1) % c->sequences;
  if (forget || c->next == 0) {
    rn_tbptt_streams_reset(c);
    return RN_OK;
  }
  return rn_wraparound_send(err, grid, elements(c), c->final, c->initial);
}
