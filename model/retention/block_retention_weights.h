/** The weight matrices of a retention block, packed for the products of one phase. */
#ifndef RN_MODEL_RETENTION_BLOCK_RETENTION_WEIGHTS_H
#define RN_MODEL_RETENTION_BLOCK_RETENTION_WEIGHTS_H

#include "model/memory/unit_phase.h"
#include "model/ops/pack_weights.h"
#include "model/retention/block_retention.h"

enum { RN_RETENTION_PHASE_WEIGHTS = 2 };

typedef struct rn_retention_weights {
  int count;
  rn_packed_weight weight[RN_RETENTION_PHASE_WEIGHTS];
} rn_retention_weights;

/**
 * Packs the weights of a phase into activations->packed; valid until the next call.
 *
 *   RN_UNIT_PHASE_KV      k and v [D + H V, D], for products with the transposed weight
 *   RN_UNIT_PHASE_QG      q and g [D + H V or D, D], likewise
 *   RN_UNIT_PHASE_OUT     out [D, H V], likewise
 *   RN_UNIT_PHASE_D_OUT   out [D, H V]
 *   RN_UNIT_PHASE_D_QKVG  k and v; q and g
 */
rn_retention_weights rn_retention_weights_pack(const rn_block_retention *block,
                                               const rn_real *params, const rn_layer_params *at,
                                               rn_unit_phase phase, rn_rows rows,
                                               const rn_block_retention_activations *activations);

/** Returns the bytes of activations->packed. */
size_t rn_retention_weights_bytes(const rn_block_retention *block);

#endif
