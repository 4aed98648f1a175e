#include "trainer/generate/generator.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "model/stage/stage.h"
#include "proto/base/arena.h"
#include "proto/base/range.h"

enum { SEGMENT_TOKENS = 256 };

/* `stage` holds the whole model. `prefill_slot` is the memory for one segment of prefill; `decoder`
 * holds the states of all sequences and generates the completions. */
struct rn_generator {
  const rn_checkpoint_model *model;
  rn_generation_options options;
  int vocab; /* N of the model */
  rn_stage *stage;
  rn_stage_slot *prefill_slot;
  rn_stage_decoder *decoder;
  int64_t max_tokens;    /* length for which the decoder has memory */
  rn_sequence *sequence; /* [sequences] */
  int sequences;
  int unfinished; /* number of unfinished completions, which come first in the arrays below */
  int *index;     /* [sequences] index of each completion's sequence */
  int32_t *token; /* [sequences] token to decode next */
  float *logits;  /* [sequences, N] */
  int32_t *order; /* [N] workspace of rn_sample */
  uint8_t *marks; /* [N] workspace of rn_repetition_penalize */
};

static rn_status open_stage(rn_err *err, rn_generator *g) {
  const rn_checkpoint_model *model = g->model;
  const rn_stage_shape shape = {
      .last_layer = model->spec.layers, .max_sequences = 1, .max_tokens = SEGMENT_TOKENS};
  RN_TRY(err, rn_stage_create(err, &model->spec, shape, &g->stage));
  (void)rn_stage_adopt_weights(g->stage, (rn_weights_memory){.weights = model->params});
  return rn_stage_write_weights(err, g->stage, model->params, (rn_range){0, model->table->total});
}

static rn_status open_generator(rn_err *err, rn_generator *g) {
  const size_t count = (size_t)g->sequences, vocab = (size_t)g->vocab;
  const rn_stage_slot_shape slot = {.save = RN_SAVE_NOTHING};
  RN_TRY(err, open_stage(err, g));
  RN_TRY(err, rn_stage_slot_create(err, g->stage, slot, &g->prefill_slot));
  RN_TRY(err, rn_alloc(err, "sequences", count, sizeof *g->sequence, &g->sequence));
  RN_TRY(err, rn_alloc(err, "sequences", count, sizeof *g->index, &g->index));
  RN_TRY(err, rn_alloc(err, "sequences", count, sizeof *g->token, &g->token));
  RN_TRY(err, rn_alloc(err, "logits", count * vocab, sizeof *g->logits, &g->logits));
  RN_TRY(err, rn_alloc(err, "order", vocab, sizeof *g->order, &g->order));
  return rn_alloc(err, "marks", vocab, sizeof *g->marks, &g->marks);
}

rn_status rn_generator_create(rn_err *err, const rn_checkpoint_model *model,
                              const rn_generation_options *options, int sequences,
                              rn_generator **out) {
  rn_generator *g;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "generator", 1, sizeof *g, &g));
  g->model = model;
  g->options = *options;
  g->vocab = model->spec.vocab;
  g->sequences = sequences;
  const rn_status status = open_generator(err, g);
  if (status != RN_OK) rn_generator_destroy(&g);
  *out = g;
  return status;
}

void rn_generator_destroy(rn_generator **generator) {
  rn_generator *g = *generator;
  if (g == NULL) return;
  if (g->stage != NULL) {
    rn_stage_decoder_destroy(g->stage, &g->decoder);
    rn_stage_slot_destroy(g->stage, &g->prefill_slot);
  }
  rn_stage_destroy(&g->stage);
  for (int i = 0; g->sequence != NULL && i < g->sequences; i++) rn_sequence_free(&g->sequence[i]);
  free(g->sequence);
  free(g->index);
  free(g->token);
  free(g->logits);
  free(g->order);
  free(g->marks);
  free(g);
  *generator = NULL;
}

rn_sequence *rn_generator_sequence(rn_generator *g, int sequence) {
  assert(sequence >= 0 && sequence < g->sequences);
  return &g->sequence[sequence];
}

/* ---- states ---- */

static rn_status save(rn_err *err, rn_generator *g, int sequence, void **state, size_t *bytes) {
  *bytes = rn_stage_decoder_saved_bytes(g->stage, g->decoder, sequence);
  RN_TRY(err, rn_alloc(err, "state", *bytes, 1, state));
  const rn_status status = rn_stage_decoder_save(err, g->stage, g->decoder, sequence, *state);
  if (status == RN_OK) return RN_OK;
  free(*state);
  *state = NULL;
  return status;
}

rn_status rn_generator_load(rn_err *err, rn_generator *g, int sequence, const void *state,
                            size_t bytes) {
  return rn_stage_decoder_load(err, g->stage, g->decoder, sequence, state, bytes);
}

/* Copies all states from the decoder to a new one. */
static rn_status move_states(rn_err *err, rn_generator *g, rn_stage_decoder *to) {
  rn_status status = RN_OK;
  for (int i = 0; status == RN_OK && i < g->sequences; i++) {
    void *state = NULL;
    size_t bytes = 0;
    status = save(err, g, i, &state, &bytes);
    if (status == RN_OK) status = rn_stage_decoder_load(err, g->stage, to, i, state, bytes);
    free(state);
  }
  return status;
}

static rn_status create_decoder(rn_err *err, const rn_generator *g, int64_t tokens,
                                rn_stage_decoder **out) {
  const rn_decoder_shape shape = {g->sequences, tokens, g->options.bf16};
  return rn_stage_decoder_create(err, g->stage, shape, out);
}

/* Creates a decoder for at least *tokens tokens, and sets *tokens to the number it was created for.
 * If memory allows, the new decoder holds at least a quarter more tokens than the old one, so that
 * few lines of an interactive text need a new decoder. */
static rn_status create_larger(rn_err *err, const rn_generator *g, int64_t *tokens,
                               rn_stage_decoder **out) {
  const int64_t more = g->max_tokens + g->max_tokens / 4;
  if (more > *tokens) {
    if (create_decoder(err, g, more, out) == RN_OK) {
      *tokens = more;
      return RN_OK;
    }
    rn_err_clear(err);
  }
  return create_decoder(err, g, *tokens, out);
}

/* Ensures that the decoder has memory for sequences of `tokens` tokens. */
static rn_status reserve(rn_err *err, rn_generator *g, int64_t tokens) {
  const rn_spec *spec = &g->model->spec;
  rn_stage_decoder *decoder = NULL;
  const bool grows = rn_spec_attention_layers(spec, 0, spec->layers) > 0;
  if (g->decoder != NULL && (!grows || tokens <= g->max_tokens)) return RN_OK;
  RN_TRY(err, create_larger(err, g, &tokens, &decoder));
  const rn_status status = g->decoder != NULL ? move_states(err, g, decoder) : RN_OK;
  rn_stage_decoder **unused = status == RN_OK ? &g->decoder : &decoder;
  rn_stage_decoder_destroy(g->stage, unused);
  if (status != RN_OK) return status;
  g->decoder = decoder;
  g->max_tokens = tokens;
  return RN_OK;
}

rn_status rn_generator_reserve(rn_err *err, rn_generator *g, int64_t tokens) {
  return reserve(err, g, tokens + g->options.max_tokens);
}

rn_status rn_generator_save(rn_err *err, rn_generator *g, int sequence, void **state,
                            size_t *bytes) {
  if (g->decoder == NULL) RN_TRY(err, reserve(err, g, g->sequence[sequence].count));
  return save(err, g, sequence, state, bytes);
}

/* ---- prefill ---- */

/* Reads tokens of sequence `index` until at most `unread` are left. Stores the logits that follow
 * the last token read. */
static rn_status prefill(rn_err *err, rn_generator *g, int index, int64_t unread,
                         rn_token_visitor visitor, float *logits) {
  rn_sequence *s = &g->sequence[index];
  while (s->count - s->read > unread) {
    if (visitor.interrupted != NULL && visitor.interrupted(visitor.self)) break;
    const int64_t count = rn_smaller(s->count - s->read, SEGMENT_TOKENS);
    const rn_decoder_prompt segment = {index, s->token + s->read, count, logits};
    RN_TRY(err, rn_stage_decoder_prefill(err, g->stage, g->prefill_slot, g->decoder, segment));
    s->read += count;
  }
  return RN_OK;
}

/* Decodes the last token of a sequence, which was drawn in an earlier run. */
static rn_status decode_last(rn_err *err, rn_generator *g, int index, float *logits) {
  rn_sequence *s = &g->sequence[index];
  const rn_decoder_tokens tokens = {1, &index, s->token + s->read, logits};
  s->read++;
  return rn_stage_decoder_step(err, g->stage, g->decoder, tokens);
}

/* Reads the unread tokens of all sequences that have not ended, and lists these sequences.
 * *complete is false if reading was interrupted; otherwise the logits are those after the last
 * token of each sequence. */
static rn_status read_tokens(rn_err *err, rn_generator *g, rn_token_visitor visitor,
                             bool *complete) {
  const int64_t unread = g->options.max_tokens > 0 ? 0 : SEGMENT_TOKENS;
  *complete = true;
  g->unfinished = 0;
  for (int i = 0; i < g->sequences; i++) {
    const rn_sequence *s = &g->sequence[i];
    float *logits = g->logits + (int64_t)g->unfinished * g->vocab;
    if (s->ended) continue;
    assert(s->read < s->count);
    g->index[g->unfinished++] = i;
    if (!s->drawn) {
      RN_TRY(err, prefill(err, g, i, unread, visitor, logits));
    } else if (unread == 0) {
      RN_TRY(err, decode_last(err, g, i, logits));
    }
    *complete = *complete && s->count - s->read <= unread;
  }
  return RN_OK;
}

/* ---- decoding ---- */

static bool are_finite(const float *x, int count) {
  for (int i = 0; i < count; i++) {
    if (!isfinite(x[i])) return false;
  }
  return true;
}

static rn_status draw(rn_err *err, const rn_generator *g, const rn_sequence *s, float *logits,
                      int32_t *token) {
  const rn_generation_options *o = &g->options;
  if (!are_finite(logits, g->vocab)) {
    return rn_fail(
        err, RN_ERR_FORMAT,
        "%s: the logits of token %lld are not finite: the training run had diverged; use "
        "an earlier checkpoint",
        rn_ckpt_path(g->model->ckpt), (long long)s->draws + 1);
  }
  rn_repetition_penalize(o->repetition, s->token, s->count, g->marks, logits);
  for (int n = 0; n < o->never_count; n++) logits[o->never[n]] = -INFINITY;
  *token = rn_sample(o->sampling, o->vocabulary, logits, g->order,
                     rn_sample_quantile(s->seed, (uint64_t)s->draws));
  return RN_OK;
}

/* Draws a token for each unfinished completion, and removes the completions that end. */
static rn_status draw_tokens(rn_err *err, rn_generator *g, rn_token_visitor visitor) {
  int unfinished = 0;
  for (int i = 0; i < g->unfinished; i++) {
    const int index = g->index[i];
    rn_sequence *s = &g->sequence[index];
    rn_generate_next next = RN_GENERATE_NEXT;
    int32_t token = 0;
    RN_TRY(err, draw(err, g, s, g->logits + (int64_t)i * g->vocab, &token));
    RN_TRY(err, rn_sequence_draw(err, s, token));
    RN_TRY(err, visitor.visit(visitor.self, err, index, token, &next));
    s->ended = next == RN_GENERATE_END;
    if (next != RN_GENERATE_NEXT) continue;
    g->index[unfinished] = index;
    g->token[unfinished++] = token;
  }
  g->unfinished = unfinished;
  return RN_OK;
}

static rn_status decode(rn_err *err, rn_generator *g) {
  const rn_decoder_tokens tokens = {g->unfinished, g->index, g->token, g->logits};
  for (int i = 0; i < g->unfinished; i++) g->sequence[g->index[i]].read++;
  return rn_stage_decoder_step(err, g->stage, g->decoder, tokens);
}

/* Returns the length of the longest sequence. */
static int64_t longest(const rn_generator *g) {
  int64_t most = 0;
  for (int i = 0; i < g->sequences; i++) {
    if (g->sequence[i].count > most) most = g->sequence[i].count;
  }
  return most;
}

rn_status rn_generator_run(rn_err *err, rn_generator *g, rn_token_visitor visitor) {
  bool complete;
  RN_TRY(err, rn_generator_reserve(err, g, longest(g)));
  RN_TRY(err, read_tokens(err, g, visitor, &complete));
  if (!complete) return RN_OK;
  for (int64_t i = 0; i < g->options.max_tokens && g->unfinished > 0; i++) {
    if (i > 0) RN_TRY(err, decode(err, g));
    RN_TRY(err, draw_tokens(err, g, visitor));
  }
  return RN_OK;
}
