/* Checks decoding token by token: logits, states and scales for given tokens, and greedy
 * continuation. */
#include <stdio.h>
#include <string.h>

#include "model/decode/decode.h"
#include "model/retention/retention.h"
#include "tests/golden/run.h"

typedef struct decode_case {
  golden_case *c;
  const rn_spec *spec;
  rn_real *params;
  const int32_t *input; /* [B, T] */
  int B, T;
} decode_case;

rn_status golden_scales_after(rn_err *err, golden_case *c, const rn_spec *spec, int steps,
                              double *scale) {
  rn_retention core = {0};
  rn_real *alpha;
  const int32_t doc_position = steps - 1;
  const rn_retention_view view = {.sequences = 1, .tokens = 1, .doc_position = &doc_position};
  RN_TRY(err, golden_take(err, c, spec->heads, sizeof *alpha, &alpha));
  RN_TRY(err, rn_retention_create(err, spec, 1, &core));
  rn_retention_row_scale(&core, &view, RN_FORM_RECURRENT, alpha);
  rn_retention_destroy(&core);
  for (int h = 0; h < spec->heads; h++) scale[h] = 1 / ((double)alpha[h] * (double)alpha[h]);
  return RN_OK;
}

/* Returns the state [B, H, K, V] of a layer. */
typedef rn_real *state_of_layer(void *self, int layer);

static rn_real *local_state(void *self, int layer) {
  return rn_local_state_state(self, RN_SCAN_FORWARD, layer);
}

static rn_real *decoder_state(void *self, int layer) {
  return rn_decoder_state(self, 0, layer);
}

static rn_status check_states(rn_err *err, const decode_case *x, const char *variant,
                              state_of_layer *state_at, void *self, int steps) {
  char state[32], name[32];
  double *scale;
  RN_TRY(err, golden_take(err, x->c, x->spec->heads, sizeof *scale, &scale));
  RN_TRY(err, golden_scales_after(err, x->c, x->spec, steps, scale));
  for (int layer = 0; layer < x->spec->layers; layer++) {
    if (rn_spec_attends(x->spec, layer)) continue;
    snprintf(state, sizeof state, "decode.state.%d", layer);
    snprintf(name, sizeof name, "decode.scale.%d", layer);
    RN_TRY(err, golden_check_state(err, x->c, variant, x->spec, x->B, state_at(self, layer), scale,
                                   state, name));
  }
  return RN_OK;
}

/* Copies logits [B, N] of step t to all[:, t] of `all` [B, steps, N]. */
static void put_logits(const rn_real *step, int t, int B, int steps, int vocab, rn_real *all) {
  for (int b = 0; b < B; b++) {
    memcpy(all + ((int64_t)b * steps + t) * vocab, step + (int64_t)b * vocab,
           (size_t)vocab * sizeof *all);
  }
}

static rn_status decode_steps(rn_err *err, const decode_case *x, golden_model *m, int steps) {
  const int N = x->spec->vocab;
  rn_real *step, *all;
  RN_TRY(err, golden_take(err, x->c, (int64_t)x->B * N, sizeof *step, &step));
  RN_TRY(err, golden_take(err, x->c, (int64_t)x->B * steps * N, sizeof *all, &all));
  for (int t = 0; t < steps; t++) {
    RN_TRY(err, golden_model_forward(err, m, RN_FORM_RECURRENT, x->input, x->T, t, 1));
    rn_layer_stack_logits(m->stage, m->params, x->B, m->y, step);
    put_logits(step, t, x->B, steps, N, all);
  }
  RN_TRY(err, golden_check(err, x->c, "recurrent", all, GOLDEN_SHAPE_3(x->B, steps, N),
                           "decode.logits"));
  RN_TRY(err, check_states(err, x, "recurrent", local_state, m->local_state, steps));
  return RN_OK;
}

/* Copies the keys and values [B, G, held, K] of a layer from the saved states. On entry *at is the
 * offset of the layer in each state, on return that of the next layer. */
static void take_layer(const decode_case *x, char *const *saved, size_t *at, size_t held,
                       rn_real *keys, rn_real *values) {
  const size_t head = held * (size_t)rn_spec_attention_width(x->spec);
  const size_t heads = (size_t)x->spec->kv_heads;
  for (size_t b = 0; b < (size_t)x->B; b++) {
    for (size_t g = 0; g < heads; g++) {
      const char *from = saved[b] + *at + 2 * g * head * sizeof(rn_real);
      memcpy(keys + (b * heads + g) * head, from, head * sizeof(rn_real));
      memcpy(values + (b * heads + g) * head, from + head * sizeof(rn_real),
             head * sizeof(rn_real));
    }
  }
  *at += heads * 2 * head * sizeof(rn_real);
}

/* Compares the keys and values that the decoder holds, from the oldest to the newest. */
static rn_status check_keys(rn_err *err, const decode_case *x, rn_decoder *decoder, int steps) {
  const int window = x->spec->attention_window, K = rn_spec_attention_width(x->spec);
  const int held = window > 0 && window < steps ? window : steps;
  const golden_shape shape = GOLDEN_SHAPE_4(x->B, x->spec->kv_heads, held, K);
  rn_real *keys, *values;
  char **saved;
  size_t at = sizeof(int64_t);
  RN_TRY(err, golden_take(err, x->c, golden_count(shape), sizeof *keys, &keys));
  RN_TRY(err, golden_take(err, x->c, golden_count(shape), sizeof *values, &values));
  RN_TRY(err, golden_take(err, x->c, x->B, sizeof *saved, &saved));
  for (int b = 0; b < x->B; b++) {
    RN_TRY(err, golden_take(err, x->c, (int64_t)rn_decoder_saved_bytes(decoder, b), 1, &saved[b]));
    rn_decoder_save(decoder, b, saved[b]);
  }
  for (int layer = 0; layer < x->spec->layers; layer++) {
    if (!rn_spec_attends(x->spec, layer)) {
      at += (size_t)x->spec->dim * (size_t)rn_spec_value_width(x->spec) * sizeof(rn_real);
      continue;
    }
    take_layer(x, saved, &at, (size_t)held, keys, values);
    RN_TRY(err, golden_check(err, x->c, "decoder", keys, shape, "mid.decode.key.%d", layer));
    RN_TRY(err, golden_check(err, x->c, "decoder", values, shape, "mid.decode.value.%d", layer));
  }
  return RN_OK;
}

/* Does the same as decode_steps, but with a decoder; sequence b is in slot b. */
static rn_status step_decoder(rn_err *err, const decode_case *x, rn_decoder *decoder, int steps) {
  const int N = x->spec->vocab;
  rn_real *step, *all;
  int *slot;
  int32_t *token;
  RN_TRY(err, golden_take(err, x->c, x->B, sizeof *slot, &slot));
  RN_TRY(err, golden_take(err, x->c, x->B, sizeof *token, &token));
  RN_TRY(err, golden_take(err, x->c, (int64_t)x->B * N, sizeof *step, &step));
  RN_TRY(err, golden_take(err, x->c, (int64_t)x->B * steps * N, sizeof *all, &all));
  for (int b = 0; b < x->B; b++) slot[b] = b;
  for (int t = 0; t < steps; t++) {
    for (int b = 0; b < x->B; b++) token[b] = x->input[b * x->T + t];
    rn_decoder_step(decoder, x->params, x->B, slot, token, step);
    put_logits(step, t, x->B, steps, N, all);
  }
  RN_TRY(err,
         golden_check(err, x->c, "decoder", all, GOLDEN_SHAPE_3(x->B, steps, N), "decode.logits"));
  RN_TRY(err, check_states(err, x, "decoder", decoder_state, decoder, steps));
  if (rn_spec_attention_layers(x->spec, 0, x->spec->layers) == 0) return RN_OK;
  return check_keys(err, x, decoder, steps);
}

static rn_status decode_by_decoder(rn_err *err, const decode_case *x, int steps) {
  rn_decoder *decoder = NULL;
  RN_TRY(err, rn_decoder_create(err, x->spec, (rn_decoder_shape){x->B, steps, false}, &decoder));
  rn_status status = step_decoder(err, x, decoder, steps);
  rn_decoder_destroy(&decoder);
  return status;
}

/* Computes the logits for the given tokens in one call in the chunkwise form, and checks them. */
static rn_status decode_in_chunks(rn_err *err, const decode_case *x, golden_model *m, int steps) {
  char variant[32];
  snprintf(variant, sizeof variant, "chunk %d", m->spec.chunk);
  RN_TRY(err, golden_model_forward(err, m, RN_FORM_CHUNKWISE, x->input, x->T, 0, steps));
  RN_TRY(err, golden_check_logits(err, x->c, m, variant, "decode.logits"));
  return RN_OK;
}

static int32_t largest(const rn_real *logits, int vocab) {
  int32_t best = 0;
  for (int i = 1; i < vocab; i++) {
    if (logits[i] > logits[best]) best = i;
  }
  return best;
}

/* Returns the length of the prompt: the number of leading tokens of `rows` that equal the case's
 * input, at least 1. */
static int prompt_of(const decode_case *x, const int32_t *rows, int length) {
  int common = length - 1 < x->T ? length - 1 : x->T;
  for (int b = 0; b < x->B; b++) {
    for (int t = 0; t < common; t++) {
      if (rows[b * length + t] != x->input[b * x->T + t]) common = t;
    }
  }
  return common > 1 ? common : 1;
}

/* Computes the logits [B, N] of the token after token t of `rows` [B, length]. */
typedef rn_status step_of_rows(rn_err *err, const decode_case *x, void *self, const int32_t *rows,
                               int length, int t, rn_real *logits);

static rn_status step_model(rn_err *err, const decode_case *x, void *self, const int32_t *rows,
                            int length, int t, rn_real *logits) {
  golden_model *m = self;
  RN_TRY(err, golden_model_forward(err, m, RN_FORM_RECURRENT, rows, length, t, 1));
  rn_layer_stack_logits(m->stage, m->params, x->B, m->y, logits);
  return RN_OK;
}

static rn_status step_slots(rn_err *err, const decode_case *x, void *self, const int32_t *rows,
                            int length, int t, rn_real *logits) {
  (void)err;
  for (int b = 0; b < x->B; b++) {
    rn_decoder_step(self, x->params, 1, &b, &rows[b * length + t],
                    logits + (int64_t)b * x->spec->vocab);
  }
  return RN_OK;
}

static rn_status generate(rn_err *err, const decode_case *x, step_of_rows *step, void *self,
                          int length, int prompt, int32_t *rows) {
  rn_real *logits;
  RN_TRY(err, golden_take(err, x->c, (int64_t)x->B * x->spec->vocab, sizeof *logits, &logits));
  for (int b = 0; b < x->B; b++) {
    memcpy(rows + b * length, x->input + b * x->T, (size_t)prompt * sizeof *rows);
  }
  for (int t = 0; t < length - 1; t++) {
    RN_TRY(err, step(err, x, self, rows, length, t, logits));
    if (t + 1 < prompt) continue;
    for (int b = 0; b < x->B; b++) {
      rows[b * length + t + 1] = largest(logits + (int64_t)b * x->spec->vocab, x->spec->vocab);
    }
  }
  return RN_OK;
}

static rn_status check_greedy(rn_err *err, const decode_case *x, const char *variant,
                              step_of_rows *step, void *self) {
  golden_shape shape;
  int32_t *want, *got;
  rn_real *values;
  RN_TRY(err, golden_shape_of(err, x->c, "generate.greedy.tokens", 2, &shape));
  const int length = (int)shape.n[1];
  shape.n[0] = x->B;
  RN_TRY(err, golden_load_ids(err, x->c, "generate.greedy.tokens", shape, x->spec->vocab, &want));
  RN_TRY(err, golden_take(err, x->c, golden_count(shape), sizeof *got, &got));
  RN_TRY(err, golden_take(err, x->c, golden_count(shape), sizeof *values, &values));
  RN_TRY(err, generate(err, x, step, self, length, prompt_of(x, want, length), got));
  for (int64_t i = 0; i < golden_count(shape); i++) values[i] = (rn_real)got[i];
  RN_TRY(err, golden_check(err, x->c, variant, values, shape, "generate.greedy.tokens"));
  return RN_OK;
}

/* Returns the name of the array of reference logits, or NULL if the file has none. */
static const char *logits_of(const golden_case *c) {
  if (golden_has(c, "decode.logits.f64")) return "decode.logits.f64";
  return golden_has(c, "decode.logits.r32") ? "decode.logits.r32" : NULL;
}

typedef rn_status (*decode_run)(rn_err *err, const decode_case *x, golden_model *m, int steps);

/* Calls run(), or check_greedy() if `run` is NULL, with a new model of the given chunk size. The
 * model processes at most `tokens` tokens of a sequence per call. */
static rn_status on_a_model(rn_err *err, const decode_case *x, int chunk, int tokens,
                            decode_run run) {
  golden_model m;
  rn_spec spec = *x->spec;
  spec.chunk = chunk;
  rn_status status = golden_model_open(err, x->c, &spec, x->B, tokens, x->params, &m);
  if (status == RN_OK && run == NULL) status = check_greedy(err, x, "recurrent", step_model, &m);
  if (status == RN_OK && run != NULL) {
    golden_shape shape = {0};
    status = golden_shape_of(err, x->c, logits_of(x->c), 3, &shape);
    if (status == RN_OK) status = run(err, x, &m, (int)shape.n[1]);
  }
  golden_model_close(&m);
  if (status != RN_OK) return rn_trace(err, status, __FILE__, __LINE__);
  return RN_OK;
}

rn_status golden_check_decode(rn_err *err, golden_case *c, const rn_spec *spec, rn_real *params,
                              const int32_t *input, int sequences, int tokens) {
  const decode_case x = {c, spec, params, input, sequences, tokens};
  const char *logits = logits_of(c);
  if (logits != NULL) {
    golden_shape shape;
    RN_TRY(err, golden_shape_of(err, c, logits, 3, &shape));
    const int steps = (int)shape.n[1], chunks[] = {1, 3, spec->chunk, steps};
    if (steps > tokens) {
      return rn_fail(err, RN_ERR_FORMAT, "%s: %s has more steps than in.tokens", c->path, logits);
    }
    RN_TRY(err, on_a_model(err, &x, spec->chunk, 1, decode_steps));
    RN_TRY(err, decode_by_decoder(err, &x, steps));
    for (int i = 0; i < 4; i++) {
      RN_TRY(err, on_a_model(err, &x, chunks[i], steps, decode_in_chunks));
    }
  }
  if (golden_has(c, "generate.greedy.tokens")) {
    RN_TRY(err, on_a_model(err, &x, spec->chunk, 1, NULL));
  }
  return RN_OK;
}

rn_status golden_check_decoder(rn_err *err, golden_case *c, const rn_spec *spec, rn_real *params,
                               const int32_t *input, int sequences, int tokens) {
  const decode_case x = {c, spec, params, input, sequences, tokens};
  golden_shape logits, rows;
  rn_decoder *decoder = NULL;
  RN_TRY(err, golden_shape_of(err, c, "decode.logits.f64", 3, &logits));
  RN_TRY(err, golden_shape_of(err, c, "generate.greedy.tokens", 2, &rows));
  if (logits.n[1] > tokens) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: decode.* is longer than in.tokens", c->path);
  }
  RN_TRY(err, decode_by_decoder(err, &x, (int)logits.n[1]));
  RN_TRY(err,
         rn_decoder_create(err, spec, (rn_decoder_shape){sequences, rows.n[1], false}, &decoder));
  rn_status status = check_greedy(err, &x, "decoder", step_slots, decoder);
  rn_decoder_destroy(&decoder);
  return status;
}
