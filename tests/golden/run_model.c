/* Implements a model in one stage: forward, loss and gradient of whole sequences or of a few
 * tokens. */
#include <math.h>
#include <string.h>

#include "tests/golden/run.h"

rn_status golden_model_open(rn_err *err, golden_case *c, const rn_spec *spec, int sequences,
                            int tokens, rn_real *params, golden_model *out) {
  *out = (golden_model){.spec = *spec, .sequences = sequences, .tokens = tokens, .params = params};
  golden_model *m = out;
  const int64_t rows = (int64_t)sequences * tokens;
  RN_TRY(err,
         rn_layer_stack_create(
             err, spec, (rn_stage_shape){0, spec->layers, sequences, tokens, 0, 0}, &m->stage));
  RN_TRY(err, rn_activations_create(err, m->stage, RN_SAVE_ALL, &m->activations));
  RN_TRY(err, rn_local_state_create(err, spec, spec->layers, sequences, &m->local_state));
  m->table = rn_layer_stack_table(m->stage);
  RN_TRY(err, golden_take(err, c, m->table->total, sizeof(rn_real), &m->gradient));
  RN_TRY(err, golden_take(err, c, rows * spec->dim, sizeof(rn_real), &m->y));
  RN_TRY(err, golden_take(err, c, rows * spec->dim, sizeof(rn_real), &m->dy));
  RN_TRY(err, golden_take(err, c, 2 * rows, sizeof(int32_t), &m->doc_position));
  RN_TRY(err, golden_take(err, c, sequences, sizeof(int64_t), &m->numbers));
  m->accumulator = (rn_grad_accumulator){.gradient = m->gradient, .total = m->table->total};
  return RN_OK;
}

void golden_model_close(golden_model *m) {
  rn_activations_destroy(&m->activations);
  rn_layer_stack_destroy(&m->stage);
  rn_local_state_destroy(&m->local_state);
}

static rn_pass pass_of(golden_model *m, rn_form form) {
  return (rn_pass){.params = m->params,
                   .unit = &m->unit,
                   .port = rn_local_state_port(m->local_state),
                   .form = form,
                   .activations = m->activations,
                   .accumulator = &m->accumulator};
}

rn_status golden_model_forward(rn_err *err, golden_model *m, rn_form form, const int32_t *input,
                               int ld, int first, int count) {
  int32_t *tokens = m->doc_position + (int64_t)m->sequences * m->tokens;
  for (int b = 0; b < m->sequences; b++) {
    for (int t = 0; t < count; t++) {
      m->doc_position[b * count + t] =
          m->since != NULL ? m->since[(int64_t)b * ld + first + t] : first + t;
      tokens[b * count + t] = input[(int64_t)b * ld + first + t];
    }
  }
  m->unit = (rn_unit){.sequences = m->sequences,
                      .tokens = count,
                      .input = tokens,
                      .doc_position = m->doc_position,
                      .sequence_index = m->numbers,
                      .position = first};
  const rn_pass pass = pass_of(m, form);
  RN_TRY(err, rn_layer_stack_forward(err, m->stage, &pass, NULL, m->y));
  return RN_OK;
}

rn_status golden_model_loss(rn_err *err, golden_model *m, const int32_t *target, bool backward,
                            double *loss) {
  const double rows = (double)m->sequences * m->unit.tokens;
  const rn_pass pass = pass_of(m, RN_FORM_CHUNKWISE);
  rn_loss out = {.rows = (int64_t)rows,
                 .y = m->y,
                 .target = target,
                 .scale = 1 / rows,
                 .dy = backward ? m->dy : NULL};
  m->unit.target = target;
  rn_grad_accumulator_start(&m->accumulator);
  rn_layer_stack_loss(m->stage, &pass, &out);
  *loss = out.sum / rows;
  if (!backward) return RN_OK;
  RN_TRY(err, rn_layer_stack_backward_input(err, m->stage, &pass, m->dy, NULL));
  rn_layer_stack_backward_weight(m->stage, &pass);
  return RN_OK;
}

rn_status golden_model_step(rn_err *err, golden_model *m, rn_form form, const int32_t *input,
                            const int32_t *target, bool backward, double *loss) {
  rn_local_state_reset(m->local_state);
  RN_TRY(err, golden_model_forward(err, m, form, input, m->tokens, 0, m->tokens));
  RN_TRY(err, golden_model_loss(err, m, target, backward, loss));
  return RN_OK;
}

rn_status golden_check_logits(rn_err *err, golden_case *c, golden_model *m, const char *variant,
                              const char *base) {
  const int rows = m->sequences * m->unit.tokens;
  rn_real *logits;
  RN_TRY(err, golden_take(err, c, (int64_t)rows * m->spec.vocab, sizeof *logits, &logits));
  rn_layer_stack_logits(m->stage, m->params, rows, m->y, logits);
  RN_TRY(err,
         golden_check(err, c, variant, logits,
                      GOLDEN_SHAPE_3(m->sequences, m->unit.tokens, m->spec.vocab), "%s", base));
  return RN_OK;
}
