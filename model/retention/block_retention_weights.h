/** Packs the weight matrices of a retention block for the products of one phase. */
#ifndef RN_MODEL_RETENTION_BLOCK_RETENTION_WEIGHTS_H
#define RN_MODEL_RETENTION_BLOCK_RETENTION_WEIGHTS_H

#include "model/memory/unit_phase.h"
#include "model/ops/pack_weights.h"
#include "model/retention/block_retention_types.h"

enum { RN_RETENTION_PHASE_WEIGHTS = 2 };

typedef struct rn_retention_weights {
  int count;
  rn_packed_weight weight[RN_RETENTION_PHASE_WEIGHTS];
} rn_retention_weights;

/**
 * Packs the weights of a phase into activations->packed; valid until the next call.
 *
 *   RN_UNIT_PHASE_KV      W of k and v [D + H V, D]; for x W^T
 *   RN_UNIT_PHASE_QG      W of q and g [D + H V or D, D]; for x W^T
 *   RN_UNIT_PHASE_OUT     W of out [D, H V]; for x W^T
 *   RN_UNIT_PHASE_D_OUT   W of out [D, H V]; for dy W
 *   RN_UNIT_PHASE_D_QKVG  W of k and v, W of q and g; for dy W
 */
rn_retention_weights rn_retention_weights_pack(const rn_block_retention *block,
                                               const rn_real *params, const rn_layer_params *at,
                                               rn_unit_phase phase, rn_rows rows,
                                               const rn_block_retention_activations *activations);

/** Returns the size in bytes of activations->packed. */
size_t rn_retention_weights_bytes(const rn_block_retention *block);

#endif
