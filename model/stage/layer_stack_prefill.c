#include "model/stage/layer_stack_prefill.h"

#include "proto/base/range.h"

/* Processes the tokens `tokens` of the prompt as one unit, which begins at the position of the
 * decoder's slot. */
static rn_status forward_unit(rn_err *err, rn_layer_stack *stack, rn_activations *activations,
                              rn_prefill *prefill, const rn_layer_stack_prompt *prompt,
                              rn_range tokens) {
  static const int64_t index = 0;
  const int count = (int)rn_range_count(tokens);
  const rn_prefill_unit begun = rn_prefill_begin(prefill, prompt->slot, count);
  const rn_unit unit = {.sequences = 1,
                        .tokens = count,
                        .input = prompt->token + tokens.begin,
                        .doc_position = begun.doc_position,
                        .sequence_index = &index,
                        .position = begun.position};
  const rn_pass pass = {.params = prompt->params,
                        .unit = &unit,
                        .port = begun.scan,
                        .rows = begun.rows,
                        .form = RN_FORM_CHUNKWISE,
                        .activations = activations};
  rn_real *rows = rn_activations_rows(activations);
  RN_TRY(err, rn_layer_stack_forward(err, stack, &pass, rows, rows));
  rn_prefill_end(prefill, count);
  return RN_OK;
}

rn_status rn_layer_stack_prefill(rn_err *err, rn_layer_stack *stack, rn_activations *activations,
                                 rn_prefill *prefill, const rn_layer_stack_prompt *prompt) {
  int64_t end = 0;
  const rn_spec *spec = rn_prefill_spec(prefill);
  for (int64_t begin = 0; begin < prompt->count; begin = end) {
    end = rn_smaller(begin + rn_prefill_max_tokens(prefill), prompt->count);
    RN_TRY(err, forward_unit(err, stack, activations, prefill, prompt, (rn_range){begin, end}));
    if (end < prompt->count) continue;
    const rn_real *rows = rn_activations_rows(activations);
    const int64_t last = (end - begin - 1) * spec->dim;
    rn_layer_stack_logits(stack, prompt->params, 1, rows + last, prompt->logits);
  }
  return RN_OK;
}
