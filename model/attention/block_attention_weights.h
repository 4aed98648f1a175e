/** The weights of the products of an attention block, packed for the tiles of one phase. */
#ifndef RN_MODEL_ATTENTION_BLOCK_ATTENTION_WEIGHTS_H
#define RN_MODEL_ATTENTION_BLOCK_ATTENTION_WEIGHTS_H

#include "model/attention/block_attention.h"
#include "model/ops/pack_weights.h"

typedef enum {
  RN_ATTENTION_IN,           /* k and v [2 G K, D]; q [D, D]; for products with the transpose */
  RN_ATTENTION_OUT,          /* out [D, D], likewise */
  RN_ATTENTION_OUT_BACKWARD, /* out [D, D] */
  RN_ATTENTION_IN_BACKWARD,  /* k and v; q */
  RN_ATTENTION_PHASES
} rn_attention_phase;

typedef struct rn_attention_weights {
  int count;
  rn_packed_weight of[2];
} rn_attention_weights;

/** Returns the weights of a phase, not packed; `params` may be NULL to compute sizes. */
rn_attention_weights rn_attention_weights_of(const rn_block_attention *block, const rn_real *params,
                                             const rn_layer_params *at, rn_attention_phase phase);

#endif
