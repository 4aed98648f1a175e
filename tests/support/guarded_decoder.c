#include "tests/support/guarded_decoder.h"

#include <stdlib.h>
#include <string.h>

#include "model/decode/decode.h"
#include "model/stage/layer_stack_prefill.h"
#include "proto/base/arena.h"
#include "tests/support/guarded_cpu_stage.h"

typedef struct decoder {
  rn_decoder *on_cpu;
  rn_prefill *prefill;
  guarded_array *states; /* [sequences, max_bytes]: states saved after the last token */
  int64_t max_bytes;     /* of one saved state */
  size_t *bytes;         /* [sequences]: size of each saved state */
} decoder;

static decoder *of_decoder(rn_stage_decoder *d) {
  return (decoder *)d;
}

void guarded_decoder_destroy(rn_stage *base, rn_stage_decoder *handle) {
  decoder *d = of_decoder(handle);
  guarded_remove(&guarded_stage_of(base)->set, &d->states);
  rn_prefill_destroy(&d->prefill);
  rn_decoder_destroy(&d->on_cpu);
  free(d->bytes);
  free(d);
}

static char *state_of(const decoder *d, int sequence) {
  return (char *)d->states->base + sequence * d->max_bytes;
}

/* Copies the state of a sequence from the guarded pages to the CPU decoder (`to_cpu`) or back.
 * Between two calls the states are kept in the guarded pages. */
static void move_state(decoder *d, int sequence, bool to_cpu) {
  rn_err err = {0};
  if (to_cpu) {
    (void)rn_decoder_load(&err, d->on_cpu, sequence, state_of(d, sequence), d->bytes[sequence]);
  } else {
    d->bytes[sequence] = rn_decoder_saved_bytes(d->on_cpu, sequence);
    rn_decoder_save(d->on_cpu, sequence, state_of(d, sequence));
  }
}

static rn_status take_parts(rn_err *err, guarded_cpu_stage *s, rn_decoder_shape shape, decoder *d) {
  const size_t states = (size_t)rn_decoder_measure_state(&s->spec, shape);
  RN_TRY(err, rn_decoder_create(err, &s->spec, shape, &d->on_cpu));
  RN_TRY(err, rn_prefill_create(err, d->on_cpu, s->shape.max_tokens, &d->prefill));
  RN_TRY(err, rn_alloc(err, "decoder", (size_t)shape.slots, sizeof *d->bytes, &d->bytes));
  d->max_bytes = (int64_t)(states / (size_t)shape.slots + sizeof(int64_t));
  d->states = guarded_add(&s->set, "states of the decoder", shape.slots * d->max_bytes, 1);
  return RN_OK;
}

rn_status guarded_decoder_create(rn_err *err, rn_stage *base, rn_decoder_shape shape,
                                 rn_stage_decoder **out) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  decoder *d;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "decoder", 1, sizeof *d, &d));
  rn_status status = take_parts(err, s, shape, d);
  if (status != RN_OK) {
    guarded_decoder_destroy(base, (rn_stage_decoder *)d);
    return status;
  }
  *out = (rn_stage_decoder *)d;
  guarded_open_all(&s->set);
  for (int i = 0; i < shape.slots; i++) move_state(d, i, false);
  if (shape.bf16) {
    rn_decoder_cast_weights(d->on_cpu, guarded_floats(s->weights));
    rn_layer_stack_cast_weights(s->layers, guarded_floats(s->weights),
                                (rn_range){0, base->table->total});
  }
  guarded_close_all(&s->set);
  return RN_OK;
}

void guarded_decoder_reset(rn_stage *base, rn_stage_decoder *handle, int sequence) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  decoder *d = of_decoder(handle);
  guarded_open_all(&s->set);
  rn_decoder_position_of(d->on_cpu, sequence, 0);
  move_state(d, sequence, false);
  guarded_close_all(&s->set);
}

rn_status guarded_decoder_prefill(rn_err *err, rn_stage *base, rn_stage_slot *slot,
                                  rn_stage_decoder *handle, rn_decoder_prompt prompt) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  decoder *d = of_decoder(handle);
  const rn_layer_stack_prompt tokens = {guarded_floats(s->weights), prompt.sequence, prompt.token,
                                        prompt.count, prompt.logits};
  guarded_open_all(&s->set);
  move_state(d, prompt.sequence, true);
  const rn_status status =
      rn_layer_stack_prefill(err, s->layers, guarded_slot_activations(slot), d->prefill, &tokens);
  move_state(d, prompt.sequence, false);
  guarded_close_all(&s->set);
  return status;
}

size_t guarded_decoder_saved_bytes(rn_stage *base, rn_stage_decoder *handle, int sequence) {
  (void)base;
  return of_decoder(handle)->bytes[sequence];
}

rn_status guarded_decoder_save(rn_err *err, rn_stage *base, rn_stage_decoder *handle, int sequence,
                               void *to) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  const decoder *d = of_decoder(handle);
  (void)err;
  guarded_open_all(&s->set);
  memcpy(to, state_of(d, sequence), d->bytes[sequence]);
  guarded_close_all(&s->set);
  return RN_OK;
}

rn_status guarded_decoder_load(rn_err *err, rn_stage *base, rn_stage_decoder *handle, int sequence,
                               const void *from, size_t bytes) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  decoder *d = of_decoder(handle);
  guarded_open_all(&s->set);
  const rn_status status = rn_decoder_load(err, d->on_cpu, sequence, from, bytes);
  if (status == RN_OK) move_state(d, sequence, false);
  guarded_close_all(&s->set);
  return status;
}

rn_status guarded_decoder_step(rn_err *err, rn_stage *base, rn_stage_decoder *handle,
                               rn_decoder_tokens tokens) {
  guarded_cpu_stage *s = guarded_stage_of(base);
  decoder *d = of_decoder(handle);
  (void)err;
  guarded_open_all(&s->set);
  for (int i = 0; i < tokens.count; i++) move_state(d, tokens.sequence[i], true);
  rn_decoder_step(d->on_cpu, guarded_floats(s->weights), tokens.count, tokens.sequence,
                  tokens.token, tokens.logits);
  for (int i = 0; i < tokens.count; i++) move_state(d, tokens.sequence[i], false);
  guarded_close_all(&s->set);
  return RN_OK;
}
