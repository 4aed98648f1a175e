#include "trainer/scan_source.h"

#include <stdio.h>

static rn_scan_algorithm choose(const rn_grid *grid, Retnet__Scan wanted, int64_t state_bytes) {
  switch (wanted) {
    case RETNET__SCAN__SCAN_CHAIN:
      return RN_SCAN_CHAIN;
    case RETNET__SCAN__SCAN_DOUBLING:
      return RN_SCAN_DOUBLING;
    case RETNET__SCAN__SCAN_EXSCAN:
      return RN_SCAN_EXSCAN;
    default:
      return rn_scan_choose(rn_grid_sequence_size(grid), state_bytes);
  }
}

rn_status rn_scan_source_create(rn_err *err, const rn_grid *grid, const rn_spec *spec,
                                rn_scan_source_shape shape, rn_scan_source *out) {
  const int heads = shape.sequences * spec->heads;
  const int64_t m = (int64_t)rn_spec_key_width(spec) * rn_spec_value_width(spec);
  *out = (rn_scan_source){.bands = shape.bands};
  if (rn_grid_sequence_size(grid) == 1) {
    RN_TRY(err, rn_carry_create(err, spec, shape.layers, shape.sequences, &out->alone));
    if (shape.reproducible) rn_carry_fold_by_caller(out->alone);
    return RN_OK;
  }
  if (shape.reproducible) {
    out->algorithm = RN_SCAN_CHAIN;
    return rn_fold_create(err, grid, shape.layers, heads, m, &out->fold);
  }
  out->algorithm = choose(grid, shape.wanted, heads * m * (int64_t)sizeof(float));
  const rn_chain_shape chain = {.heads = heads,
                                .matrix = m,
                                .layers = shape.layers,
                                .bands = shape.bands,
                                .epsilon = shape.epsilon};
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
