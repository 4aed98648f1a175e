#include "trainer/scan_source.h"

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
                                Retnet__Scan wanted, int layers, int sequences, int bands,
                                rn_scan_source *out) {
  const int heads = sequences * spec->heads;
  const int64_t m = (int64_t)rn_spec_key_width(spec) * rn_spec_value_width(spec);
  *out = (rn_scan_source){.bands = bands};
  if (rn_grid_sequence_size(grid) == 1) {
    return rn_carry_create(err, spec, layers, sequences, &out->alone);
  }
  out->algorithm = choose(grid, wanted, heads * m * (int64_t)sizeof(float));
  const rn_chain_shape shape = {.heads = heads, .matrix = m, .layers = layers, .bands = bands};
  return rn_chain_create(err, grid, out->algorithm, shape, &out->chain);
}

void rn_scan_source_destroy(rn_scan_source *source) {
  rn_chain_destroy(&source->chain);
  rn_carry_destroy(&source->alone);
}

rn_scan_port *rn_scan_source_port(rn_scan_source *source, rn_scan_direction direction, int band) {
  if (source->chain != NULL) {
    rn_chain_unit(source->chain, band, source->bands);
    return rn_chain_port(source->chain);
  }
  const int first = direction == RN_SCAN_FORWARD ? 0 : source->bands - 1;
  if (band == first) rn_carry_start(source->alone, direction);
  return rn_carry_port(source->alone);
}
