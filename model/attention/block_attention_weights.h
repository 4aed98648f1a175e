/** Lists the weight matrices of an attention block that are packed for the products of each
 * phase. */
#ifndef RN_MODEL_ATTENTION_BLOCK_ATTENTION_WEIGHTS_H
#define RN_MODEL_ATTENTION_BLOCK_ATTENTION_WEIGHTS_H

#include "model/attention/block_attention.h"
#include "model/ops/pack_weights.h"

typedef enum {
  RN_ATTENTION_IN,           /* joint W of k and v [2 G K, D], and W of q [D, D]; for x W^T */
  RN_ATTENTION_OUT,          /* W of out [D, D]; for x W^T */
  RN_ATTENTION_OUT_BACKWARD, /* W of out [D, D]; for dy W */
  RN_ATTENTION_IN_BACKWARD,  /* joint W of k and v, and W of q; for dy W */
  RN_ATTENTION_PHASES
} rn_attention_phase;

typedef struct rn_attention_weights {
  int count;
  rn_packed_weight of[2];
} rn_attention_weights;

/** Returns the weights of a phase, not packed yet; with bf16, those of block->weights. `params` may
 * be NULL to compute sizes. */
rn_attention_weights rn_attention_weights_of(const rn_block_attention *block, const rn_real *params,
                                             const rn_layer_params *at, rn_attention_phase phase);

#endif
