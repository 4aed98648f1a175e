#include "trainer/generate/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/decode/decode.h"
#include "model/retention/local_state.h"
#include "model/stage/layer_stack.h"
#include "proto/base/arena.h"
#include "proto/base/range.h"

enum { SEGMENT_TOKENS = 256 };

/* ---- prompts ---- */

/* State of the prefill, which processes a prompt in segments of SEGMENT_TOKENS. */
typedef struct prefill {
  const rn_checkpoint_model *model;
  rn_layer_stack *stage;
  rn_activations *activations;
  rn_local_state *local_state;
  float *rows; /* [SEGMENT_TOKENS, D] */
  int32_t doc_position[SEGMENT_TOKENS];
} prefill;

static rn_status open_prefill(rn_err *err, const rn_checkpoint_model *model, prefill *p) {
  const rn_spec *spec = &model->spec;
  *p = (prefill){.model = model};
  RN_TRY(err, rn_layer_stack_create(
                  err, spec, (rn_stage_shape){0, spec->layers, 1, SEGMENT_TOKENS, 0}, &p->stage));
  rn_layer_stack_cast_weights(p->stage, model->params, (rn_range){0, model->table->total});
  RN_TRY(err, rn_activations_create(err, p->stage, RN_SAVE_NOTHING, &p->activations));
  RN_TRY(err, rn_local_state_create(err, spec, spec->layers, 1, &p->local_state));
  return rn_alloc(err, "rows", (size_t)SEGMENT_TOKENS * (size_t)spec->dim, sizeof(float), &p->rows);
}

static void close_prefill(prefill *p) {
  rn_layer_stack_destroy(&p->stage);
  rn_activations_destroy(&p->activations);
  rn_local_state_destroy(&p->local_state);
  free(p->rows);
}

static rn_status forward_segment(rn_err *err, prefill *p, const int32_t *tokens, int count,
                                 int64_t position) {
  const int64_t index = 0;
  for (int i = 0; i < count; i++) {
    p->doc_position[i] = (int32_t)rn_smaller(position + i, INT32_MAX);
  }
  const rn_unit unit = {.sequences = 1,
                        .tokens = count,
                        .input = tokens,
                        .doc_position = p->doc_position,
                        .sequence_index = &index,
                        .position = position};
  const rn_pass pass = {.params = p->model->params,
                        .unit = &unit,
                        .port = rn_local_state_port(p->local_state),
                        .form = RN_FORM_CHUNKWISE,
                        .activations = p->activations};
  return rn_layer_stack_forward(err, p->stage, &pass, NULL, p->rows);
}

/* Runs a prompt through the model; sets the decoder's slot and the logits after the prompt. */
static rn_status prefill_prompt(rn_err *err, prefill *p, rn_prompt prompt, rn_decoder *decoder,
                                int slot, float *logits) {
  const rn_spec *spec = &p->model->spec;
  const size_t state = (size_t)spec->dim * (size_t)rn_spec_value_width(spec) * sizeof(float);
  int64_t count = 0;
  rn_local_state_reset(p->local_state);
  for (int64_t position = 0; position < prompt.count; position += count) {
    count = rn_smaller(prompt.count - position, SEGMENT_TOKENS);
    RN_TRY(err, forward_segment(err, p, prompt.token + position, (int)count, position));
  }
  rn_layer_stack_logits(p->stage, p->model->params, 1, p->rows + (count - 1) * spec->dim, logits);
  for (int layer = 0; layer < spec->layers; layer++) {
    memcpy(rn_decoder_state(decoder, slot, layer),
           rn_local_state_state(p->local_state, RN_SCAN_FORWARD, layer), state);
  }
  rn_decoder_position_of(decoder, slot, prompt.count);
  return RN_OK;
}

static rn_status prefill_prompts(rn_err *err, const rn_checkpoint_model *model,
                                 const rn_prompt *prompt, int prompts, rn_decoder *decoder,
                                 float *logits) {
  prefill p;
  rn_status status = open_prefill(err, model, &p);
  for (int i = 0; status == RN_OK && i < prompts; i++) {
    status =
        prefill_prompt(err, &p, prompt[i], decoder, i, logits + (int64_t)i * model->spec.vocab);
  }
  close_prefill(&p);
  return status;
}

/* ---- decoding ---- */

/* The prompts whose completions are not finished, compacted to the front. */
typedef struct decoding {
  const rn_checkpoint_model *model;
  rn_decoder *decoder;
  int count;
  int *slot;      /* [prompts], the first `count` in use */
  int32_t *token; /* [prompts], likewise */
  float *logits;  /* [prompts, N], likewise */
  int32_t *order; /* [N] workspace of rn_sample */
} decoding;

static rn_status open_decoding(rn_err *err, const rn_checkpoint_model *model, bool bf16,
                               int prompts, decoding *g) {
  const size_t count = (size_t)prompts, vocab = (size_t)model->spec.vocab;
  *g = (decoding){.model = model, .count = prompts};
  RN_TRY(err, rn_decoder_create(err, &model->spec, prompts, bf16, &g->decoder));
  RN_TRY(err, rn_alloc(err, "prompts", count, sizeof *g->slot, &g->slot));
  RN_TRY(err, rn_alloc(err, "prompts", count, sizeof *g->token, &g->token));
  RN_TRY(err, rn_alloc(err, "logits", count * vocab, sizeof *g->logits, &g->logits));
  for (int i = 0; i < prompts; i++) g->slot[i] = i;
  return rn_alloc(err, "order", vocab, sizeof *g->order, &g->order);
}

static void close_decoding(decoding *g) {
  rn_decoder_destroy(&g->decoder);
  free(g->slot);
  free(g->token);
  free(g->logits);
  free(g->order);
}

static bool are_finite(const float *x, int count) {
  for (int i = 0; i < count; i++) {
    if (!isfinite(x[i])) return false;
  }
  return true;
}

/* Samples a token for each unfinished completion, and removes those that end. */
static rn_status sample_tokens(rn_err *err, decoding *g, const rn_generation_options *options,
                               int64_t index, rn_token_visitor visitor) {
  int unfinished = 0;
  for (int i = 0; i < g->count; i++) {
    const float *logits = g->logits + (int64_t)i * g->model->spec.vocab;
    if (!are_finite(logits, g->model->spec.vocab)) {
      return rn_fail(err, RN_ERR_FORMAT,
                     "%s gives no finite numbers for token %lld: the run had diverged; use an "
                     "earlier checkpoint",
                     rn_ckpt_path(g->model->ckpt), (long long)index + 1);
    }
    const int32_t token =
        rn_sample(options->sampling, options->vocabulary, logits, g->order, (uint64_t)index);
    if (!visitor.visit(visitor.self, g->slot[i], token)) continue;
    g->slot[unfinished] = g->slot[i];
    g->token[unfinished++] = token;
  }
  g->count = unfinished;
  return RN_OK;
}

rn_status rn_generate(rn_err *err, rn_checkpoint_model *model, const rn_generation_options *options,
                      const rn_prompt *prompt, int prompts, rn_token_visitor visitor) {
  decoding g;
  rn_status status = open_decoding(err, model, options->bf16, prompts, &g);
  if (status == RN_OK && options->bf16) rn_decoder_cast_weights(g.decoder, model->params);
  if (status == RN_OK) status = prefill_prompts(err, model, prompt, prompts, g.decoder, g.logits);
  for (int64_t i = 0; status == RN_OK && i < options->max_tokens && g.count > 0; i++) {
    if (i > 0) rn_decoder_step(g.decoder, model->params, g.count, g.slot, g.token, g.logits);
    status = sample_tokens(err, &g, options, i, visitor);
  }
  close_decoding(&g);
  return status;
}
