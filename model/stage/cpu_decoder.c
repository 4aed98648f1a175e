/* Implements the decoder calls of the CPU backend. */
#include <stdlib.h>

#include "model/decode/decode.h"
#include "model/stage/cpu_stage.h"
#include "model/stage/layer_stack_prefill.h"
#include "proto/base/arena.h"

typedef struct cpu_decoder {
  rn_decoder *decoder;
  rn_prefill *prefill;
} cpu_decoder;

static cpu_decoder *of_decoder(rn_stage_decoder *decoder) {
  return (cpu_decoder *)decoder;
}

void rn_cpu_decoder_destroy(rn_stage *stage, rn_stage_decoder *handle) {
  cpu_decoder *d = of_decoder(handle);
  (void)stage;
  rn_prefill_destroy(&d->prefill);
  rn_decoder_destroy(&d->decoder);
  free(d);
}

rn_status rn_cpu_decoder_create(rn_err *err, rn_stage *stage, rn_decoder_shape shape,
                                rn_stage_decoder **out) {
  rn_cpu_stage *s = rn_cpu_stage_of(stage);
  cpu_decoder *d;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "decoder", 1, sizeof *d, &d));
  rn_status status = rn_decoder_create(err, &s->spec, shape, &d->decoder);
  if (status == RN_OK) status = rn_prefill_create(err, d->decoder, s->max_tokens, &d->prefill);
  if (status != RN_OK) {
    rn_cpu_decoder_destroy(stage, (rn_stage_decoder *)d);
    return status;
  }
  if (shape.bf16) {
    rn_decoder_cast_weights(d->decoder, s->weights);
    rn_layer_stack_cast_weights(s->layers, s->weights, (rn_range){0, stage->table->total});
  }
  *out = (rn_stage_decoder *)d;
  return RN_OK;
}

void rn_cpu_decoder_reset(rn_stage *stage, rn_stage_decoder *decoder, int sequence) {
  (void)stage;
  rn_decoder_position_of(of_decoder(decoder)->decoder, sequence, 0);
}

rn_status rn_cpu_decoder_prefill(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                                 rn_stage_decoder *decoder, rn_decoder_prompt prompt) {
  const rn_cpu_stage *s = rn_cpu_stage_of(stage);
  const rn_layer_stack_prompt tokens = {s->weights, prompt.sequence, prompt.token, prompt.count,
                                        prompt.logits};
  return rn_layer_stack_prefill(err, s->layers, rn_cpu_slot_of(slot)->activations,
                                of_decoder(decoder)->prefill, &tokens);
}

size_t rn_cpu_decoder_saved_bytes(rn_stage *stage, rn_stage_decoder *decoder, int sequence) {
  (void)stage;
  return rn_decoder_saved_bytes(of_decoder(decoder)->decoder, sequence);
}

rn_status rn_cpu_decoder_save(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder, int sequence,
                              void *to) {
  (void)err;
  (void)stage;
  rn_decoder_save(of_decoder(decoder)->decoder, sequence, to);
  return RN_OK;
}

rn_status rn_cpu_decoder_load(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder, int sequence,
                              const void *from, size_t bytes) {
  (void)stage;
  return rn_decoder_load(err, of_decoder(decoder)->decoder, sequence, from, bytes);
}

rn_status rn_cpu_decoder_step(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder,
                              rn_decoder_tokens tokens) {
  (void)err;
  rn_decoder_step(of_decoder(decoder)->decoder, rn_cpu_stage_of(stage)->weights, tokens.count,
                  tokens.sequence, tokens.token, tokens.logits);
  return RN_OK;
}
