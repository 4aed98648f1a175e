#include "trainer/generate/generate.h"

#include <math.h>
#include <stdlib.h>

#include "model/stage/stage.h"
#include "proto/base/arena.h"
#include "proto/base/range.h"

enum { SEGMENT_TOKENS = 256 };

/* A generator holds the model's stage, a slot that processes prompts, and a decoder that extends
 * completions. */
typedef struct generator {
  const rn_checkpoint_model *model;
  rn_stage *stage;
  rn_stage_slot *prompt_slot; /* destroyed after all prompts are processed */
  rn_stage_decoder *decoder;
  int unfinished; /* number of unfinished completions, at the front of the arrays below */
  int *prompt; /* [prompts] index of each completion's prompt, and of its sequence in the decoder */
  int32_t *token; /* [prompts] */
  float *logits;  /* [prompts, N] */
  int32_t *order; /* [N] workspace of rn_sample */
} generator;

static rn_status open_stage(rn_err *err, const rn_checkpoint_model *model, generator *g) {
  const rn_stage_shape shape = {
      .last_layer = model->spec.layers, .max_sequences = 1, .max_tokens = SEGMENT_TOKENS};
  RN_TRY(err, rn_stage_create(err, &model->spec, shape, &g->stage));
  (void)rn_stage_adopt_weights(g->stage, (rn_weights_memory){.weights = model->params});
  return rn_stage_write_weights(err, g->stage, model->params, (rn_range){0, model->table->total});
}

static rn_status open_generator(rn_err *err, const rn_checkpoint_model *model,
                                rn_decoder_shape shape, generator *g) {
  const int prompts = shape.slots;
  const size_t count = (size_t)prompts, vocab = (size_t)model->spec.vocab;
  const rn_stage_slot_shape slot = {.save = RN_SAVE_NOTHING};
  *g = (generator){.model = model, .unfinished = prompts};
  RN_TRY(err, open_stage(err, model, g));
  RN_TRY(err, rn_stage_slot_create(err, g->stage, slot, &g->prompt_slot));
  RN_TRY(err, rn_stage_decoder_create(err, g->stage, shape, &g->decoder));
  RN_TRY(err, rn_alloc(err, "prompts", count, sizeof *g->prompt, &g->prompt));
  RN_TRY(err, rn_alloc(err, "prompts", count, sizeof *g->token, &g->token));
  RN_TRY(err, rn_alloc(err, "logits", count * vocab, sizeof *g->logits, &g->logits));
  for (int i = 0; i < prompts; i++) g->prompt[i] = i;
  return rn_alloc(err, "order", vocab, sizeof *g->order, &g->order);
}

static void close_generator(generator *g) {
  if (g->stage != NULL) {
    rn_stage_decoder_destroy(g->stage, &g->decoder);
    rn_stage_slot_destroy(g->stage, &g->prompt_slot);
  }
  rn_stage_destroy(&g->stage);
  free(g->prompt);
  free(g->token);
  free(g->logits);
  free(g->order);
}

/* ---- prompts ---- */

/* Runs each prompt through the model: its state is then in the decoder, and the logits of its last
 * token in g->logits. */
static rn_status prefill_prompts(rn_err *err, generator *g, const rn_prompt *prompt, int prompts) {
  rn_status status = RN_OK;
  for (int i = 0; status == RN_OK && i < prompts; i++) {
    const rn_decoder_prompt tokens = {i, prompt[i].token, prompt[i].count,
                                      g->logits + (int64_t)i * g->model->spec.vocab};
    status = rn_stage_decoder_prefill(err, g->stage, g->prompt_slot, g->decoder, tokens);
  }
  rn_stage_slot_destroy(g->stage, &g->prompt_slot);
  return status;
}

/* ---- decoding ---- */

static bool are_finite(const float *x, int count) {
  for (int i = 0; i < count; i++) {
    if (!isfinite(x[i])) return false;
  }
  return true;
}

/* Samples a token for each unfinished completion, and removes the completions that end. */
static rn_status sample_tokens(rn_err *err, generator *g, const rn_generation_options *options,
                               int64_t index, rn_token_visitor visitor) {
  int unfinished = 0;
  for (int i = 0; i < g->unfinished; i++) {
    float *logits = g->logits + (int64_t)i * g->model->spec.vocab;
    if (!are_finite(logits, g->model->spec.vocab)) {
      return rn_fail(err, RN_ERR_FORMAT,
                     "%s: the logits of token %lld are not finite: the run had diverged; use an "
                     "earlier checkpoint",
                     rn_ckpt_path(g->model->ckpt), (long long)index + 1);
    }
    for (int n = 0; n < options->never_count; n++) logits[options->never[n]] = -INFINITY;
    const int32_t token =
        rn_sample(options->sampling, options->vocabulary, logits, g->order, (uint64_t)index);
    if (!visitor.visit(visitor.self, g->prompt[i], token)) continue;
    g->prompt[unfinished] = g->prompt[i];
    g->token[unfinished++] = token;
  }
  g->unfinished = unfinished;
  return RN_OK;
}

static rn_status decode(rn_err *err, generator *g) {
  const rn_decoder_tokens tokens = {g->unfinished, g->prompt, g->token, g->logits};
  return rn_stage_decoder_step(err, g->stage, g->decoder, tokens);
}

/* Returns the length of the longest sequence; the last token that is sampled is not processed. */
static int64_t longest(const rn_generation_options *options, const rn_prompt *prompt, int prompts) {
  int64_t most = 0;
  for (int i = 0; i < prompts; i++) most = prompt[i].count > most ? prompt[i].count : most;
  return most + options->max_tokens;
}

rn_status rn_generate(rn_err *err, rn_checkpoint_model *model, const rn_generation_options *options,
                      const rn_prompt *prompt, int prompts, rn_token_visitor visitor) {
  generator g;
  const rn_decoder_shape shape = {prompts, longest(options, prompt, prompts), options->bf16};
  rn_status status = open_generator(err, model, shape, &g);
  if (status == RN_OK) status = prefill_prompts(err, &g, prompt, prompts);
  for (int64_t i = 0; status == RN_OK && i < options->max_tokens && g.unfinished > 0; i++) {
    if (i > 0) status = decode(err, &g);
    if (status == RN_OK) status = sample_tokens(err, &g, options, i, visitor);
  }
  close_generator(&g);
  return status;
}
