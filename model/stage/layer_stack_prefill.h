/** Prefill (model/decode/prefill.h) with the layers of a stage that holds the whole model. */
#ifndef RN_MODEL_STAGE_LAYER_STACK_PREFILL_H
#define RN_MODEL_STAGE_LAYER_STACK_PREFILL_H

#include "model/base/precision_names.h"
#include "model/decode/prefill.h"
#include "model/stage/layer_stack.h"

/** The tokens to process. */
typedef struct rn_layer_stack_prompt {
  const rn_real *params; /* [total] */
  int slot;              /* slot of the decoder */
  const int32_t *token;  /* [count] */
  int64_t count;         /* at least 1 */
  rn_real *logits;       /* [N], output: logits of the token that follows the last one */
} rn_layer_stack_prompt;

/**
 * Processes a prompt, starting from the current state of the decoder's slot, in units
 * (model/pass/unit.h) of at most rn_prefill_max_tokens tokens. `activations` must have space for
 * such a unit. Errors: those of rn_layer_stack_forward.
 */
rn_status rn_layer_stack_prefill(rn_err *err, rn_layer_stack *stack, rn_activations *activations,
                                 rn_prefill *prefill, const rn_layer_stack_prompt *prompt);

#endif
