#include "model/retention/block_retention_weights.h"

#include <assert.h>
#include <stddef.h>

/* The weights of a block: `k` also contains the weights of v, and `q` also those of g. */
typedef struct weight_arrays {
  rn_array k, q, out;
} weight_arrays;

/* True if the sums in the projections of k, v, q and g are short enough to be computed in double.
 * The weights of these projections are then read unpacked. */
static bool sums_in_fp64(const rn_block_retention *b) {
  return !b->bf16 && b->dim <= RN_FP64_SUM_MAX;
}

static rn_retention_weights weights_of(const rn_block_retention *b, weight_arrays w,
                                       rn_unit_phase phase) {
  const int D = b->dim, Vd = b->value_dim, qg = rn_block_retention_qg_width(b);
  switch (phase) {
    case RN_UNIT_PHASE_KV:
      return (rn_retention_weights){1, {rn_weight_nt(b->pair, D, w.k)}};
    case RN_UNIT_PHASE_QG:
      return (rn_retention_weights){1, {rn_weight_nt(qg, D, w.q)}};
    case RN_UNIT_PHASE_OUT:
      return (rn_retention_weights){1, {rn_weight_nt(D, Vd, w.out)}};
    case RN_UNIT_PHASE_D_OUT:
      return (rn_retention_weights){1, {rn_weight_nn(Vd, D, w.out)}};
    default:
      assert(phase == RN_UNIT_PHASE_D_QKVG);
      return (rn_retention_weights){2, {rn_weight_nn(D, b->pair, w.k), rn_weight_nn(D, qg, w.q)}};
  }
}

rn_retention_weights rn_retention_weights_pack(const rn_block_retention *b, const rn_real *params,
                                               const rn_layer_params *at, rn_unit_phase phase,
                                               rn_rows rows,
                                               const rn_block_retention_activations *activations) {
  const weight_arrays arrays = {rn_array_of_weights(b->weights, params, at->k),
                                rn_array_of_weights(b->weights, params, at->q),
                                rn_array_of_weights(b->weights, params, at->out)};
  rn_retention_weights w = weights_of(b, arrays, phase);
  const bool projection = phase == RN_UNIT_PHASE_KV || phase == RN_UNIT_PHASE_QG;
  if (projection && sums_in_fp64(b)) return w;
  rn_pack_weights(rows, w.weight, w.count, activations->packed);
  return w;
}

size_t rn_retention_weights_bytes(const rn_block_retention *b) {
  static const rn_unit_phase phases[] = {RN_UNIT_PHASE_KV, RN_UNIT_PHASE_QG, RN_UNIT_PHASE_OUT,
                                         RN_UNIT_PHASE_D_OUT, RN_UNIT_PHASE_D_QKVG};
  const rn_array none = {NULL, b->bf16};
  size_t largest = 0;
  for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++) {
    const rn_retention_weights w = weights_of(b, (weight_arrays){none, none, none}, phases[i]);
    const size_t bytes = rn_pack_weights_bytes(w.weight, w.count);
    if (bytes > largest) largest = bytes;
  }
  return largest;
}
