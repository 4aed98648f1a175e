/**
 * Packs the weights of a phase for all tiles of its products, split over threads.
 *
 * Whether weights are packed depends on the gemm backend and, except in reproducible mode, on the
 * number of rows. It does not depend on the number of threads.
 */
#ifndef RN_MODEL_OPS_PACK_WEIGHTS_H
#define RN_MODEL_OPS_PACK_WEIGHTS_H

#include <stddef.h>

#include "model/base/precision_names.h"
#include "model/kernel/gemm_pack.h"
#include "model/pass/rows.h"

/** Describes the weight w [n, k] of products x * w^T; it is not packed yet. */
static inline rn_packed_weight rn_weight_nt(int n, int k, rn_array w) {
  return (rn_packed_weight){.kind = RN_GEMM_NT, .n = n, .k = k, .w = {w, k}};
}

/** Describes the weight w [k, n] of products x * w; it is not packed yet. */
static inline rn_packed_weight rn_weight_nn(int n, int k, rn_array w) {
  return (rn_packed_weight){.kind = RN_GEMM_NN, .n = n, .k = k, .w = {w, n}};
}

/** Returns the maximum number of bytes that rn_pack_weights needs for these weights; 0 if it never
 * packs them. Reads only kind, n, k and w.x.bf16. */
size_t rn_pack_weights_bytes(const rn_packed_weight *weights, int count);

/** Packs the weights into `buffer` and sets the field `packed` of each weight. Leaves `packed`
 * empty if `buffer` is NULL, and for weights whose products are faster without packing. The buffer
 * must be aligned to 64 bytes and outlive the weights. */
void rn_pack_weights(rn_rows rows, rn_packed_weight *weights, int count, void *buffer);

#endif
