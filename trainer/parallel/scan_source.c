#include "trainer/parallel/scan_source.h"

static rn_scan_shape scan_shape(const rn_spec *spec, rn_scan_source_shape shape, int ranks) {
  return (rn_scan_shape){.heads = shape.sequences * spec->heads,
                         .matrix = (int64_t)rn_spec_key_width(spec) * rn_spec_value_width(spec),
                         .layers = shape.layers,
                         .segments = shape.segments,
                         .epsilon = ranks > 1 ? shape.epsilon : 0,
                         .ordered = shape.reproducible};
}

int64_t rn_scan_source_state_bytes(const rn_spec *spec, rn_scan_source_shape shape) {
  const rn_scan_shape scan = scan_shape(spec, shape, 1);
  return scan.heads * scan.matrix * (int64_t)sizeof(float);
}

rn_scan_algorithm rn_scan_source_choose(const rn_spec *spec, rn_scan_source_shape shape,
                                        int ranks) {
  if (ranks == 1) return RN_SCAN_SINGLE_RANK;
  if (shape.reproducible) return RN_SCAN_ORDERED;
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
  return rn_scan_bytes(rn_scan_source_choose(spec, shape, ranks), scan_shape(spec, shape, ranks),
                       rank, ranks);
}

rn_status rn_scan_source_create(rn_err *err, const rn_grid *grid, const rn_spec *spec,
                                rn_scan_source_shape shape, rn_scan_source *out) {
  const int ranks = rn_grid_sequence_size(grid);
  *out = (rn_scan_source){.algorithm = rn_scan_source_choose(spec, shape, ranks),
                          .segments = shape.segments};
  return rn_scan_create(err, grid, out->algorithm, scan_shape(spec, shape, ranks), &out->scan);
}

void rn_scan_source_destroy(rn_scan_source *source) {
  rn_scan_destroy(&source->scan);
}

rn_scan_port *rn_scan_source_port(rn_scan_source *source, rn_scan_unit unit) {
  rn_tbptt_streams *s = unit.streams;
  if (source->override != NULL) return source->override;
  const float *initial = s == NULL ? NULL : rn_tbptt_streams_states(s, s->initial, unit.microbatch);
  float *final = s == NULL ? NULL : rn_tbptt_streams_states(s, s->final, unit.microbatch);
  rn_scan_set_boundary(source->scan, initial, final);
  rn_scan_set_segment(source->scan, unit.segment, source->segments);
  return rn_scan_port_of(source->scan);
}
