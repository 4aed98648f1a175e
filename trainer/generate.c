#include "trainer/generate.h"

#include <math.h>
#include <stdlib.h>

#include "model/carry.h"
#include "model/stage.h"
#include "proto/arena.h"
#include "proto/random.h"

enum { PIECE_TOKENS = 256, SINCE_LIMIT = INT32_MAX };

/* A model at work on one sequence: its states, and how far it has come. */
typedef struct decoder {
  const rn_loaded *model;
  rn_stage *stage;
  rn_tape *tape;
  rn_carry *carry;
  float *rows;   /* [PIECE_TOKENS, D] */
  float *logits; /* [N] */
  int32_t *order;
  int64_t position;
  int32_t since[PIECE_TOKENS];
} decoder;

static rn_status open_decoder(rn_err *err, const rn_loaded *model, decoder *d) {
  const rn_spec *spec = &model->spec;
  *d = (decoder){.model = model};
  RN_TRY(err, rn_stage_create(err, spec, 0, spec->layers, 1, PIECE_TOKENS, 0, &d->stage));
  RN_TRY(err, rn_tape_create(err, d->stage, RN_KEEP_NOTHING, &d->tape));
  RN_TRY(err, rn_carry_create(err, spec, spec->layers, 1, &d->carry));
  RN_TRY(err,
         rn_alloc(err, "rows", (size_t)PIECE_TOKENS * (size_t)spec->dim, sizeof(float), &d->rows));
  RN_TRY(err, rn_alloc(err, "logits", (size_t)spec->vocab, sizeof(float), &d->logits));
  return rn_alloc(err, "order", (size_t)spec->vocab, sizeof(int32_t), &d->order);
}

static void close_decoder(decoder *d) {
  rn_stage_destroy(&d->stage);
  rn_tape_destroy(&d->tape);
  rn_carry_destroy(&d->carry);
  free(d->rows);
  free(d->logits);
  free(d->order);
}

/* Takes in tokens and leaves the logits that follow the last. */
static rn_status feed(rn_err *err, decoder *d, const int32_t *tokens, int count, rn_form form) {
  const int64_t number = 0;
  for (int i = 0; i < count; i++) {
    const int64_t since = d->position + i;
    d->since[i] = since < SINCE_LIMIT ? (int32_t)since : SINCE_LIMIT;
  }
  const rn_unit unit = {.sequences = 1,
                        .tokens = count,
                        .input = tokens,
                        .since = d->since,
                        .sequence_number = &number,
                        .position = d->position};
  RN_TRY(err, rn_stage_forward(err, d->stage, d->model->params, &unit, form, false,
                               rn_carry_port(d->carry), NULL, d->rows, d->tape));
  rn_stage_logits(d->stage, d->model->params, 1,
                  d->rows + (int64_t)(count - 1) * d->model->spec.dim, d->logits);
  d->position += count;
  return RN_OK;
}

static rn_status draw(rn_err *err, decoder *d, const int32_t *prompt, int64_t count, int64_t most,
                      rn_sampling sampling, rn_token_visit *visit, void *self) {
  for (int64_t at = 0; at < count; at += PIECE_TOKENS) {
    const int64_t piece = count - at < PIECE_TOKENS ? count - at : PIECE_TOKENS;
    RN_TRY(err, feed(err, d, prompt + at, (int)piece, RN_FORM_CHUNKWISE));
  }
  for (int64_t i = 0; i < most; i++) {
    const int32_t token =
        rn_sample(sampling, d->model->spec.vocab, d->logits, d->order, (uint64_t)i);
    if (!visit(self, token)) return RN_OK;
    RN_TRY(err, feed(err, d, &token, 1, RN_FORM_RECURRENT));
  }
  return RN_OK;
}

rn_status rn_generate(rn_err *err, const rn_loaded *model, const int32_t *prompt, int64_t count,
                      int64_t most, rn_sampling sampling, rn_token_visit *visit, void *self) {
  decoder d;
  rn_status status = open_decoder(err, model, &d);
  if (status == RN_OK) status = draw(err, &d, prompt, count, most, sampling, visit, self);
  close_decoder(&d);
  return status;
}

static int by_logit(const void *a, const void *b, void *logits) {
  const float x = ((const float *)logits)[*(const int32_t *)a];
  const float y = ((const float *)logits)[*(const int32_t *)b];
  return (x < y) - (x > y);
}

int32_t rn_sample(rn_sampling s, int n, const float *logits, int32_t *order, uint64_t index) {
  for (int i = 0; i < n; i++) order[i] = i;
  qsort_r(order, (size_t)n, sizeof *order, by_logit, (void *)(uintptr_t)logits);
  if (s.temperature <= 0) return order[0];
  const int kept = s.top_k > 0 && s.top_k < n ? (int)s.top_k : n;
  const double top = logits[order[0]];
  double whole = 0, mass = 0;
  for (int i = 0; i < kept; i++) whole += exp((logits[order[i]] - top) / s.temperature);
  const uint64_t words[1] = {s.seed};
  const rn_random_key key = rn_random_key_make(RN_RANDOM_SAMPLE, words, 1);
  const double target = rn_random_uniform(key, index) * fmin(1, s.top_p) * whole;
  for (int i = 0; i < kept; i++) {
    mass += exp((logits[order[i]] - top) / s.temperature);
    if (mass > target) return order[i];
  }
  return order[kept - 1];
}
