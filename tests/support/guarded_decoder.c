#include "tests/support/guarded_decoder.h"

#include <stdlib.h>
#include <string.h>

#include "model/decode/decode.h"
#include "proto/base/arena.h"
#include "tests/support/guarded_cpu_stage.h"

typedef struct decoder {
  rn_decoder *on_cpu;
  guarded_array *states; /* [layers, sequences, H K V] states after the last token */
  int sequences;
} decoder;

static decoder *of_decoder(rn_stage_decoder *d) {
  return (decoder *)d;
}

static int64_t state_elements(const guarded_cpu_stage *s) {
  return (int64_t)s->spec.dim * rn_spec_value_width(&s->spec);
}

void guarded_decoder_destroy(rn_stage *base, rn_stage_decoder *handle) {
  decoder *d = of_decoder(handle);
  guarded_remove(&guarded_stage_of(base)->set, &d->states);
  rn_decoder_destroy(&d->on_cpu);
  free(d);
}

rn_status guarded_decoder_create(rn_err *err, rn_stage *base, int sequences, bool bf16,
                                 rn_stage_decoder **out) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  decoder *d;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "decoder", 1, sizeof *d, &d));
  rn_status status = rn_decoder_create(err, &s->spec, sequences, bf16, &d->on_cpu);
  if (status != RN_OK) {
    free(d);
    return status;
  }
  d->sequences = sequences;
  d->states = guarded_add(&s->set, "states of the decoder",
                          s->spec.layers * sequences * state_elements(s), sizeof(float));
  *out = (rn_stage_decoder *)d;
  if (!bf16) return RN_OK;
  guarded_open_all(&s->set);
  rn_decoder_cast_weights(d->on_cpu, guarded_floats(s->weights));
  rn_layer_stack_cast_weights(s->layers, guarded_floats(s->weights),
                              (rn_range){0, base->table->total});
  guarded_close_all(&s->set);
  return RN_OK;
}

/* Copies the states of a sequence from the guarded pages to the CPU decoder (`to_cpu`) or back.
 * Between two steps the states are kept in the guarded pages. */
static void move_states(guarded_cpu_stage *s, decoder *d, int sequence, bool to_cpu) {
  const int64_t each = state_elements(s);
  for (int layer = 0; layer < s->spec.layers; layer++) {
    float *on_cpu = rn_decoder_state(d->on_cpu, sequence, layer);
    float *guarded = guarded_floats(d->states) + ((int64_t)layer * d->sequences + sequence) * each;
    memcpy(to_cpu ? on_cpu : guarded, to_cpu ? guarded : on_cpu, (size_t)each * sizeof(float));
    if (!to_cpu) memset(on_cpu, 0xff, (size_t)each * sizeof(float));
  }
}

rn_status guarded_decoder_write_state(rn_err *err, rn_stage *base, rn_stage_decoder *handle,
                                      int sequence, int layer, const float *state) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  decoder *d = of_decoder(handle);
  const int64_t each = state_elements(s);
  (void)err;
  guarded_open_all(&s->set);
  memcpy(guarded_floats(d->states) + ((int64_t)layer * d->sequences + sequence) * each, state,
         (size_t)each * sizeof *state);
  guarded_close_all(&s->set);
  return RN_OK;
}

void guarded_decoder_set_position(rn_stage *base, rn_stage_decoder *handle, int sequence,
                                  int64_t position) {
  (void)base;
  rn_decoder_position_of(of_decoder(handle)->on_cpu, sequence, position);
}

rn_status guarded_decoder_step(rn_err *err, rn_stage *base, rn_stage_decoder *handle,
                               rn_decoder_tokens tokens) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  decoder *d = of_decoder(handle);
  (void)err;
  guarded_open_all(&s->set);
  for (int i = 0; i < tokens.count; i++) move_states(s, d, tokens.sequence[i], true);
  rn_decoder_step(d->on_cpu, guarded_floats(s->weights), tokens.count, tokens.sequence,
                  tokens.token, tokens.logits);
  for (int i = 0; i < tokens.count; i++) move_states(s, d, tokens.sequence[i], false);
  guarded_close_all(&s->set);
  return RN_OK;
}
