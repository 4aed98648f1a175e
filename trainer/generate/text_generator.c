#include "trainer/generate/text_generator.h"

#include <stdlib.h>

#include "proto/base/arena.h"
#include "trainer/checkpoint/checkpoint_tokenizer.h"

static rn_status open_encoder(rn_err *err, const char *special_tokens, rn_text_generator *t) {
  RN_TRY(err, rn_encoder_create(err, t->tokenizer, &t->encoder));
  return special_tokens != NULL ? rn_encoder_allow(err, t->encoder, special_tokens) : RN_OK;
}

/* Lists the ids below the vocabulary size that no token has. */
static rn_status list_gaps(rn_err *err, rn_text_generator *t) {
  const rn_tokenizer *tokenizer = t->tokenizer;
  rn_generation_options *o = &t->options.generation;
  RN_TRY(err, rn_alloc(err, "gaps", (size_t)tokenizer->vocabulary, sizeof *t->gap, &t->gap));
  o->vocabulary = tokenizer->vocabulary;
  o->never = t->gap;
  o->never_count = 0;
  for (int32_t id = 0; id < tokenizer->vocabulary; id++) {
    if (!rn_tokenizer_has(tokenizer, id)) t->gap[o->never_count++] = id;
  }
  return RN_OK;
}

/* Sets t->owner. Must be called before the generator is created, because its creation may round the
 * weights that are hashed here. */
static rn_status know_owner(rn_err *err, const rn_checkpoint_model *model, rn_text_generator *t) {
  t->owner = (rn_state_owner){
      .model = model, .tokenizer_hash = t->tokenizer->hash, .bf16 = t->options.generation.bf16};
  return rn_checkpoint_model_hash(err, model, &t->owner.model_hash);
}

rn_status rn_text_generator_open(rn_err *err, const char *path, const rn_checkpoint_model *model,
                                 const rn_text_options *options, int texts,
                                 rn_text_generator *out) {
  *out = (rn_text_generator){.options = *options, .texts = texts};
  RN_TRY(err, rn_checkpoint_tokenizer(err, path, model, &out->tokenizer));
  out->begin = rn_checkpoint_begin_token(model->manifest->vocabulary, out->tokenizer->document);
  RN_TRY(err, open_encoder(err, options->special_tokens, out));
  RN_TRY(err, list_gaps(err, out));
  if (options->keeps_states) RN_TRY(err, know_owner(err, model, out));
  return rn_generator_create(err, model, &out->options.generation, texts, &out->generator);
}

void rn_text_generator_close(rn_text_generator *t) {
  rn_generator_destroy(&t->generator);
  rn_encoder_destroy(&t->encoder);
  rn_tokenizer_destroy(&t->tokenizer);
  free(t->gap);
  *t = (rn_text_generator){.tokenizer = NULL};
}

rn_status rn_text_generator_load(rn_err *err, rn_text_generator *t, const char *path) {
  return rn_saved_state_load(err, t->generator, t->texts, t->owner, path);
}

rn_status rn_text_generator_save(rn_err *err, rn_text_generator *t, const char *path) {
  return rn_saved_state_write(err, t->generator, 0, t->owner, path);
}

rn_status rn_text_generator_give(rn_err *err, rn_text_generator *t, int text,
                                 const rn_text *bytes) {
  rn_sequence *sequence = rn_generator_sequence(t->generator, text);
  rn_tokens tokens = {0};
  rn_status status = RN_OK;
  if (sequence->count == 0) status = rn_tokens_add(err, &tokens, t->begin, 0);
  if (status == RN_OK) {
    const char *from = bytes->count > 0 ? bytes->bytes : "";
    status = rn_encoder_encode(err, t->encoder, from, bytes->count, &tokens);
  }
  if (status == RN_OK) status = rn_sequence_give(err, sequence, tokens.id, (int64_t)tokens.count);
  rn_tokens_free(&tokens);
  return status;
}

/* ---- completions ---- */

/* Adds the text of a drawn token to its completion. */
static rn_status add_token(rn_err *err, const rn_text_generator *t, int32_t token,
                           rn_completion *c) {
  const void *bytes = NULL;
  size_t count = 0;
  c->tokens++;
  if (token == t->tokenizer->document) {
    c->complete = !t->options.ignore_end;
    if (c->complete) c->stop = RN_STOP_DOCUMENT;
    return RN_OK;
  }
  RN_TRY(err, rn_tokenizer_token(err, t->tokenizer, token, &bytes, &count));
  return rn_completion_append(err, c, t->options.stops, bytes, count);
}

static bool is_interrupted(void *self) {
  const rn_text_generator *t = self;
  return t->interrupted != NULL && t->interrupted();
}

static rn_status take_token(void *self, rn_err *err, int text, int32_t token,
                            rn_generate_next *next) {
  rn_text_generator *t = self;
  rn_completion *c = &t->completions->text[text];
  RN_TRY(err, add_token(err, t, token, c));
  if (c->tokens == t->options.generation.max_tokens) c->complete = true;
  if (t->options.stream) {
    t->output_lost =
        !rn_completions_stream(t->completions, t->options.stops, &t->printed) || t->output_lost;
  }
  if (c->complete || t->output_lost || is_interrupted(t)) *next = RN_GENERATE_STOP;
  if (c->complete && c->stop == RN_STOP_DOCUMENT) *next = RN_GENERATE_END;
  return RN_OK;
}

/* Starts a completion. It is complete from the start if the text has ended, nothing was added since
 * then, and the end is not ignored. */
static void begin_completion(rn_text_generator *t, int text) {
  rn_sequence *sequence = rn_generator_sequence(t->generator, text);
  rn_completion *c = &t->completions->text[text];
  if (t->options.ignore_end) sequence->ended = false;
  c->complete = sequence->ended || t->options.generation.max_tokens == 0;
  if (sequence->ended) c->stop = RN_STOP_DOCUMENT;
}

rn_status rn_text_generator_run(rn_err *err, rn_text_generator *t, rn_completions *completions) {
  const rn_token_visitor visitor = {take_token, is_interrupted, t};
  t->completions = completions;
  t->printed = (rn_completions_printed){0};
  for (int i = 0; i < completions->count; i++) begin_completion(t, i);
  if (t->options.stream) (void)rn_completions_stream(completions, t->options.stops, &t->printed);
  RN_TRY(err, rn_generator_run(err, t->generator, visitor));
  for (int i = 0; i < completions->count; i++) {
    rn_completion *c = &completions->text[i];
    if (!c->complete) c->stop = RN_STOP_SIGNAL;
    c->complete = true;
  }
  if (t->options.stream) (void)rn_completions_stream(completions, t->options.stops, &t->printed);
  return RN_OK;
}
