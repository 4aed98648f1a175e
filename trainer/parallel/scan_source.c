#include "trainer/parallel/scan_source.h"

#include <stdio.h>
#include <string.h>

static int64_t matrix_of(const rn_spec *spec) {
  return (int64_t)rn_spec_key_width(spec) * rn_spec_value_width(spec);
}

static rn_scan_shape chain_shape(const rn_spec *spec, rn_scan_source_shape shape) {
  return (rn_scan_shape){.heads = shape.sequences * spec->heads,
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
  if (shape.reproducible) return RN_SCAN_PIPELINED;
  switch (shape.wanted) {
    case RETNET__SCAN__SCAN_CHAIN:
      return RN_SCAN_PIPELINED;
    case RETNET__SCAN__SCAN_DOUBLING:
      return RN_SCAN_DOUBLING;
    case RETNET__SCAN__SCAN_EXSCAN:
      return RN_SCAN_EXSCAN;
    default:
      return rn_scan_choose(ranks, rn_scan_source_state_bytes(spec, shape));
  }
}

size_t rn_scan_source_bytes(const rn_spec *spec, rn_scan_source_shape shape, int rank, int ranks) {
  if (ranks == 1) return rn_local_state_bytes(spec, shape.layers, shape.sequences);
  const rn_scan_shape scan = chain_shape(spec, shape);
  if (shape.reproducible) return rn_ordered_scan_bytes(scan.layers, scan.heads, scan.matrix);
  return rn_scan_bytes(rn_scan_source_choose(spec, shape, ranks), scan, rank, ranks);
}

rn_status rn_scan_source_create(rn_err *err, const rn_grid *grid, const rn_spec *spec,
                                rn_scan_source_shape shape, rn_scan_source *out) {
  const rn_scan_shape scan = chain_shape(spec, shape);
  *out = (rn_scan_source){.bands = shape.bands, .layers = shape.layers};
  if (rn_grid_sequence_size(grid) == 1) {
    RN_TRY(err, rn_local_state_create(err, spec, shape.layers, shape.sequences, &out->alone));
    if (shape.reproducible) rn_local_state_order_by_caller(out->alone);
    return RN_OK;
  }
  out->algorithm = rn_scan_source_choose(spec, shape, rn_grid_sequence_size(grid));
  if (shape.reproducible) {
    return rn_ordered_scan_create(err, grid, scan.layers, scan.heads, scan.matrix, &out->fold);
  }
  return rn_scan_create(err, grid, out->algorithm, scan, &out->scan);
}

void rn_scan_source_destroy(rn_scan_source *source) {
  rn_scan_destroy(&source->scan);
  rn_ordered_scan_destroy(&source->fold);
  rn_local_state_destroy(&source->alone);
}

void rn_scan_source_use_thread(rn_scan_source *source, rn_comm_thread *thread) {
  if (source->scan != NULL) rn_scan_use_thread(source->scan, thread);
  if (source->fold != NULL) rn_ordered_scan_use_thread(source->fold, thread);
}

/* Where a micro-batch's carried states begin, or NULL. */
static float *carried_part(const rn_scan_source *source, bool initial, int microbatch) {
  rn_tbptt_streams *c = source->streams;
  return c == NULL ? NULL : rn_tbptt_streams_part(c, initial ? c->initial : c->final, microbatch);
}

/* Copies all layers' states between a micro-batch's carried part and the port of one rank. */
static void copy_states(rn_scan_source *source, int microbatch, bool in) {
  const rn_range streams = rn_tbptt_streams_streams(source->streams, microbatch);
  const int64_t count = rn_range_count(streams) * source->streams->stream_elements;
  float *part = carried_part(source, in, microbatch);
  for (int layer = 0; layer < source->layers; layer++) {
    float *state = rn_local_state_state(source->alone, RN_SCAN_FORWARD, layer);
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
    rn_ordered_scan_set_boundary(source->fold, initial, final);
    return rn_ordered_scan_port_of(source->fold, band, source->bands);
  }
  if (source->scan != NULL) {
    rn_scan_set_boundary(source->scan, initial, final);
    rn_scan_set_segment(source->scan, band, source->bands);
    return rn_scan_port_of(source->scan);
  }
  const int first = direction == RN_SCAN_FORWARD ? 0 : source->bands - 1;
  if (band == first) {
    rn_local_state_start(source->alone, direction);
    if (initial != NULL && direction == RN_SCAN_FORWARD) copy_states(source, microbatch, true);
  }
  return rn_local_state_port(source->alone);
}

void rn_scan_source_keep(rn_scan_source *source, int microbatch, int band) {
  if (source->streams == NULL || source->alone == NULL || band < source->bands - 1) return;
  copy_states(source, microbatch, false);
}

int64_t rn_scan_source_bytes_sent(const rn_scan_source *source) {
  if (source->fold != NULL) return rn_ordered_scan_bytes_sent(source->fold);
  return source->scan != NULL ? rn_scan_bytes_sent(source->scan) : 0;
}

double rn_scan_source_wait_s(const rn_scan_source *source) {
  if (source->fold != NULL) return rn_ordered_scan_wait_s(source->fold);
  return source->scan != NULL ? rn_scan_wait_s(source->scan) : 0;
}

void rn_scan_source_describe(const rn_scan_source *source, char *text, size_t bytes) {
  if (source->scan != NULL) {
    rn_scan_describe(source->scan, text, bytes);
  } else {
    snprintf(text, bytes, "%s", source->fold != NULL ? "chain, in reproducible order" : "none");
  }
}
