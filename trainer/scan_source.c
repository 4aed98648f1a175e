#include "trainer/scan_source.h"

#include <stdio.h>
#include <string.h>

static int64_t matrix_of(const rn_spec *spec) {
  return (int64_t)rn_spec_key_width(spec) * rn_spec_value_width(spec);
}

static rn_chain_shape chain_shape(const rn_spec *spec, rn_scan_source_shape shape) {
  return (rn_chain_shape){.heads = shape.sequences * spec->heads,
                          .matrix = matrix_of(spec),
                          .layers = shape.layers,
                          .bands = shape.bands,
                          .epsilon = shape.epsilon};
}

int64_t rn_scan_source_state_bytes(const rn_spec *spec, rn_scan_source_shape shape) {
  return (int64_t)shape.sequences * spec->heads * matrix_of(spec) * (int64_t)sizeof(float);
}

rn_scan_algorithm rn_scan_source_choose(const rn_spec *spec, rn_scan_source_shape shape,
                                        int ranks) {
  if (shape.reproducible) return RN_SCAN_CHAIN;
  switch (shape.wanted) {
    case RETNET__SCAN__SCAN_CHAIN:
      return RN_SCAN_CHAIN;
    case RETNET__SCAN__SCAN_DOUBLING:
      return RN_SCAN_DOUBLING;
    case RETNET__SCAN__SCAN_EXSCAN:
      return RN_SCAN_EXSCAN;
    default:
      return rn_scan_choose(ranks, rn_scan_source_state_bytes(spec, shape));
  }
}

size_t rn_scan_source_bytes(const rn_spec *spec, rn_scan_source_shape shape, int rank, int ranks) {
  if (ranks == 1) return rn_carry_bytes(spec, shape.layers, shape.sequences);
  const rn_chain_shape chain = chain_shape(spec, shape);
  if (shape.reproducible) return rn_fold_bytes(chain.layers, chain.heads, chain.matrix);
  return rn_chain_bytes(rn_scan_source_choose(spec, shape, ranks), chain, rank, ranks);
}

rn_status rn_scan_source_create(rn_err *err, const rn_grid *grid, const rn_spec *spec,
                                rn_scan_source_shape shape, rn_scan_source *out) {
  const rn_chain_shape chain = chain_shape(spec, shape);
  *out = (rn_scan_source){.bands = shape.bands, .layers = shape.layers};
  if (rn_grid_sequence_size(grid) == 1) {
    RN_TRY(err, rn_carry_create(err, spec, shape.layers, shape.sequences, &out->alone));
    if (shape.reproducible) rn_carry_fold_by_caller(out->alone);
    return RN_OK;
  }
  out->algorithm = rn_scan_source_choose(spec, shape, rn_grid_sequence_size(grid));
  if (shape.reproducible) {
    return rn_fold_create(err, grid, chain.layers, chain.heads, chain.matrix, &out->fold);
  }
  return rn_chain_create(err, grid, out->algorithm, chain, &out->chain);
}

void rn_scan_source_destroy(rn_scan_source *source) {
  rn_chain_destroy(&source->chain);
  rn_fold_destroy(&source->fold);
  rn_carry_destroy(&source->alone);
}

void rn_scan_source_use_thread(rn_scan_source *source, rn_comm_thread *thread) {
  if (source->chain != NULL) rn_chain_use_thread(source->chain, thread);
  if (source->fold != NULL) rn_fold_use_thread(source->fold, thread);
}

/* Where a micro-batch's carried states begin, or NULL. */
static float *carried_part(const rn_scan_source *source, bool initial, int microbatch) {
  rn_carried *c = source->carried;
  return c == NULL ? NULL : rn_carried_part(c, initial ? c->initial : c->final, microbatch);
}

/* Copies all layers' states between a micro-batch's carried part and the port of one rank. */
static void copy_states(rn_scan_source *source, int microbatch, bool in) {
  const rn_range streams = rn_carried_streams(source->carried, microbatch);
  const int64_t count = rn_range_count(streams) * source->carried->stream_elements;
  float *part = carried_part(source, in, microbatch);
  for (int layer = 0; layer < source->layers; layer++) {
    float *state = rn_carry_state(source->alone, RN_SCAN_FORWARD, layer);
    memcpy(in ? state : part + layer * count, in ? part + layer * count : state,
           (size_t)count * sizeof *state);
  }
}

rn_scan_port *rn_scan_source_port(rn_scan_source *source, rn_scan_direction direction,
                                  int microbatch, int band) {
  if (source->instead != NULL) return source->instead;
  const float *initial = carried_part(source, true, microbatch);
  float *final = carried_part(source, false, microbatch);
  if (source->fold != NULL) {
    rn_fold_carry(source->fold, initial, final);
    return rn_fold_port(source->fold, band, source->bands);
  }
  if (source->chain != NULL) {
    rn_chain_carry(source->chain, initial, final);
    rn_chain_unit(source->chain, band, source->bands);
    return rn_chain_port(source->chain);
  }
  const int first = direction == RN_SCAN_FORWARD ? 0 : source->bands - 1;
  if (band == first) {
    rn_carry_start(source->alone, direction);
    if (initial != NULL && direction == RN_SCAN_FORWARD) copy_states(source, microbatch, true);
  }
  return rn_carry_port(source->alone);
}

void rn_scan_source_keep(rn_scan_source *source, int microbatch, int band) {
  if (source->carried == NULL || source->alone == NULL || band < source->bands - 1) return;
  copy_states(source, microbatch, false);
}

int64_t rn_scan_source_bytes_sent(const rn_scan_source *source) {
  if (source->fold != NULL) return rn_fold_bytes_sent(source->fold);
  return source->chain != NULL ? rn_chain_bytes_sent(source->chain) : 0;
}

double rn_scan_source_wait_s(const rn_scan_source *source) {
  if (source->fold != NULL) return rn_fold_wait_s(source->fold);
  return source->chain != NULL ? rn_chain_wait_s(source->chain) : 0;
}

void rn_scan_source_describe(const rn_scan_source *source, char *text, size_t bytes) {
  if (source->chain != NULL) {
    rn_chain_describe(source->chain, text, bytes);
  } else {
    snprintf(text, bytes, "%s", source->fold != NULL ? "chain, in reproducible order" : "none");
  }
}
