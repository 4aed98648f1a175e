#include "trainer/scan_source.h"

#include <stdio.h>

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
  *out = (rn_scan_source){.bands = shape.bands};
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

rn_scan_port *rn_scan_source_port(rn_scan_source *source, rn_scan_direction direction, int band) {
  if (source->fold != NULL) return rn_fold_port(source->fold, band, source->bands);
  if (source->chain != NULL) {
    rn_chain_unit(source->chain, band, source->bands);
    return rn_chain_port(source->chain);
  }
  const int first = direction == RN_SCAN_FORWARD ? 0 : source->bands - 1;
  if (band == first) rn_carry_start(source->alone, direction);
  return rn_carry_port(source->alone);
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
