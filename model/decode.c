/*
 * All threads go through a step together, in one parallel region: each has a range of the columns
 * of a product, or some of its rows and heads, and they wait for each other in between.
 */
#include "model/decode.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/array.h"
#include "model/first_token.h"
#include "model/kernel/kernels.h"
#include "model/norm.h"
#include "model/param.h"
#include "model/retention.h"
#include "proto/arena.h"
#include "proto/cut.h"

struct rn_decoder {
  rn_spec spec;
  int slots, key_width, value_width, half; /* K, V, K/2 */
  int keys, inner; /* width of k, v, q and g together; of the feed-forward's first product */
  rn_param_table *table;
  rn_retention core; /* decays and row scales */
  double *theta;     /* [K/2] */
  int64_t *position; /* [slots] */
  rn_arena arena;
  rn_half *halves; /* [total]: matrices in bf16, or NULL */
  rn_real *states; /* [layers, slots, H, K, V] */
  /* rows of a step, [slots, ...] each */
  rn_real *stream, *normed, *stat; /* [D], [D], [2] */
  double *wide;                    /* [D]: a first token's normed row */
  rn_real *kvqg, *o, *gated;       /* [keys], [H V], [H V] */
  rn_real *ffn, *product;          /* [inner], [F] */
  rn_real *cosine, *sine;          /* [K/2] */
  rn_real *alpha;                  /* [H] */
  int32_t *since;
};

/* ---- making ---- */

static size_t reals(const rn_decoder *d, int width) {
  return rn_arena_round((size_t)d->slots * (size_t)width * sizeof(rn_real));
}

static size_t arena_bytes(const rn_decoder *d) {
  const int D = d->spec.dim, Vd = d->spec.value_dim;
  return 2 * reals(d, D) + reals(d, 2) + reals(d, d->keys) + 2 * reals(d, Vd) + reals(d, d->inner) +
         reals(d, d->spec.ffn_dim) + 2 * reals(d, d->half) + reals(d, d->spec.heads) +
         rn_arena_round((size_t)d->slots * (size_t)D * sizeof(double)) +
         rn_arena_round((size_t)d->slots * sizeof(int32_t));
}

static void take_rows(rn_decoder *d) {
  const int D = d->spec.dim, Vd = d->spec.value_dim;
  d->stream = rn_arena_take(&d->arena, reals(d, D));
  d->normed = rn_arena_take(&d->arena, reals(d, D));
  d->stat = rn_arena_take(&d->arena, reals(d, 2));
  d->kvqg = rn_arena_take(&d->arena, reals(d, d->keys));
  d->o = rn_arena_take(&d->arena, reals(d, Vd));
  d->gated = rn_arena_take(&d->arena, reals(d, Vd));
  d->ffn = rn_arena_take(&d->arena, reals(d, d->inner));
  d->product = rn_arena_take(&d->arena, reals(d, d->spec.ffn_dim));
  d->cosine = rn_arena_take(&d->arena, reals(d, d->half));
  d->sine = rn_arena_take(&d->arena, reals(d, d->half));
  d->alpha = rn_arena_take(&d->arena, reals(d, d->spec.heads));
  d->wide = rn_arena_take(&d->arena, (size_t)d->slots * (size_t)D * sizeof(double));
  d->since = rn_arena_take(&d->arena, (size_t)d->slots * sizeof(int32_t));
}

static int64_t slot_elements(const rn_decoder *d) {
  return (int64_t)d->spec.dim * d->value_width;
}

static rn_status take_memory(rn_err *err, bool half, rn_decoder *d) {
  const size_t states = (size_t)d->spec.layers * (size_t)d->slots * (size_t)slot_elements(d);
  RN_TRY(err, rn_param_table_create(err, &d->spec, 0, d->spec.layers, &d->table));
  RN_TRY(err, rn_retention_create(err, &d->spec, 1, &d->core));
  RN_TRY(err, rn_alloc(err, "rotation", (size_t)d->half, sizeof(double), &d->theta));
  RN_TRY(err, rn_alloc(err, "positions", (size_t)d->slots, sizeof(int64_t), &d->position));
  RN_TRY(err, rn_alloc(err, "states", states, sizeof(rn_real), &d->states));
  RN_TRY(err, rn_arena_create(err, arena_bytes(d), &d->arena));
  if (half) {
    RN_TRY(err, rn_alloc(err, "weights in bf16", (size_t)d->table->total, sizeof *d->halves,
                         &d->halves));
  }
  rn_spec_angles(d->spec.rotary, d->key_width, d->theta);
  take_rows(d);
  return RN_OK;
}

rn_status rn_decoder_create(rn_err *err, const rn_spec *spec, int slots, bool half,
                            rn_decoder **out) {
  *out = NULL;
  rn_decoder *d;
  RN_TRY(err, rn_alloc(err, "decoder", 1, sizeof *d, &d));
  d->spec = *spec;
  d->slots = slots;
  d->key_width = rn_spec_key_width(spec);
  d->value_width = rn_spec_value_width(spec);
  d->half = d->key_width / 2;
  d->keys = 2 * spec->dim + (spec->gate ? 2 : 1) * spec->value_dim;
  d->inner = (spec->ffn == RN_FFN_GLU ? 2 : 1) * spec->ffn_dim;
  rn_status status = take_memory(err, half, d);
  if (status != RN_OK) {
    rn_decoder_destroy(&d);
    return status;
  }
  *out = d;
  return RN_OK;
}

void rn_decoder_destroy(rn_decoder **decoder) {
  rn_decoder *d = *decoder;
  if (d == NULL) return;
  rn_param_table_destroy(&d->table);
  rn_retention_destroy(&d->core);
  rn_arena_destroy(&d->arena);
  free(d->theta);
  free(d->position);
  free(d->states);
  free(d->halves);
  free(d);
  *decoder = NULL;
}

/* ---- slots ---- */

size_t rn_decoder_state_bytes(const rn_decoder *d) {
  return (size_t)d->spec.layers * (size_t)d->slots * (size_t)slot_elements(d) * sizeof(rn_real);
}

size_t rn_decoder_weight_bytes(const rn_decoder *d, int count) {
  size_t bytes = d->spec.tie_embeddings ? 0 : (size_t)count * (size_t)d->spec.dim * sizeof(rn_real);
  for (int i = 0; i < d->table->count; i++) {
    const rn_param *p = &d->table->param[i];
    const bool looked_up = p->offset == d->table->embedding && !d->spec.tie_embeddings;
    const size_t each = rn_element_bytes(d->halves != NULL && p->matrix);
    if (!looked_up) bytes += (size_t)(p->rows * p->cols) * each;
  }
  return bytes;
}

void rn_decoder_round(rn_decoder *d, rn_real *params) {
  assert(d->halves != NULL);
#pragma omp parallel for schedule(dynamic)
  for (int i = 0; i < d->table->count; i++) {
    const rn_param *p = &d->table->param[i];
    for (int64_t at = p->offset; p->matrix && at < p->offset + p->rows * p->cols; at++) {
      d->halves[at] = rn_half_of(params[at]);
      params[at] = rn_half_value(d->halves[at]);
    }
  }
}

rn_real *rn_decoder_state(rn_decoder *d, int slot, int layer) {
  assert(slot >= 0 && slot < d->slots && layer >= 0 && layer < d->spec.layers);
  return d->states + ((int64_t)layer * d->slots + slot) * slot_elements(d);
}

void rn_decoder_place(rn_decoder *d, int slot, int64_t position) {
  assert(slot >= 0 && slot < d->slots && position >= 0);
  d->position[slot] = position;
}

/* ---- a step, as each thread goes through it ---- */

typedef struct step {
  rn_decoder *d;
  const rn_kernels *kernels;
  const rn_real *params;
  int count;
  const int *slot;
  const int32_t *token;
  rn_real *logits;
  bool begins;       /* a slot is at position 0 */
  const rn_real *in; /* [count, D]: what the blocks read */
  int layer;
  const rn_layer_params *at;
} step;

/* Columns of this thread, whole lines of memory each. */
static rn_range own_columns(int columns) {
  enum { LINE = 64 / sizeof(rn_real) };
  const rn_range lines =
      rn_cut((columns + LINE - 1) / LINE, omp_get_num_threads(), omp_get_thread_num());
  const int64_t end = lines.end * LINE;
  return (rn_range){lines.begin * LINE, end < columns ? end : columns};
}

/* y [count, n] = x [count, k] w^T + beta y, for some columns. */
static void multiply(const step *s, rn_range columns, int k, const rn_real *x, int64_t w,
                     rn_real beta, rn_real *y, int n) {
  s->kernels->few_rows(s->count, (int)rn_range_count(columns), k, x, k,
                       rn_array_of_weights(s->d->halves, s->params, w + columns.begin * k), k, beta,
                       y + columns.begin, n);
}

static void norm_rows(const step *s, rn_norm norm, rn_real *to) {
  const rn_decoder *d = s->d;
  const rn_real *bias = norm.bias >= 0 ? s->params + norm.bias : NULL;
#pragma omp for schedule(static)
  for (int r = 0; r < s->count; r++) {
    const int64_t at = (int64_t)r * norm.width;
    s->kernels->norm(norm.kind, norm.width, norm.eps, s->params + norm.weight, bias, d->stream + at,
                     rn_reals(to + at), d->stat + 2 * r);
  }
}

/* Rows at position 0 see themselves alone: their scores hang on the last digits of what goes in. */
static void widen_first_rows(const step *s) {
  const rn_decoder *d = s->d;
  const int D = d->spec.dim;
  const rn_norm norm = rn_norm_make(&d->spec, s->at->retention_norm, s->at->retention_norm_bias);
#pragma omp for schedule(static)
  for (int r = 0; r < s->count; r++) {
    double *wide = d->wide + (int64_t)r * D;
    const rn_real *raw = d->stream + (int64_t)r * D;
    if (d->since[r] != 0) continue;
    if (d->spec.pre_norm) {
      rn_norm_row_wide(&norm, s->params, raw, wide);
    } else {
      for (int i = 0; i < D; i++) wide[i] = (double)raw[i];
    }
  }
}

/* Embedding, angles and whatever else is a matter of the row alone. */
static void begin_rows(const step *s) {
  const rn_decoder *d = s->d;
  const int D = d->spec.dim;
  const rn_real scale = d->spec.scale_embedding ? (rn_real)sqrt((double)D) : 1;
#pragma omp for schedule(static)
  for (int r = 0; r < s->count; r++) {
    assert(s->token[r] >= 0 && s->token[r] < d->spec.vocab);
    const rn_real *from = s->params + d->table->embedding + (int64_t)s->token[r] * D;
    rn_real *to = d->stream + (int64_t)r * D;
    const double position = (double)d->position[s->slot[r]];
    for (int i = 0; i < D; i++) to[i] = scale * from[i];
    for (int j = 0; j < d->half; j++) {
      d->cosine[r * d->half + j] = (rn_real)cos(position * d->theta[j]);
      d->sine[r * d->half + j] = (rn_real)sin(position * d->theta[j]);
    }
  }
  if (!d->spec.embedding_norm) return;
  norm_rows(s, rn_norm_make(&d->spec, d->table->embedding_norm, d->table->embedding_norm_bias),
            d->stream);
}

/* One head of one row, from its k, v, q and g to what goes to the out projection. */
static void retain(const step *s, int row, int h) {
  const rn_decoder *d = s->d;
  const int D = d->spec.dim, Vd = d->spec.value_dim, K = d->key_width, V = d->value_width;
  rn_real *k = d->kvqg + (int64_t)row * d->keys + h * K, *v = k - h * K + D + h * V;
  rn_real *q = k + D + Vd, *o = d->o + (int64_t)row * Vd + h * V;
  rn_real *state = rn_decoder_state(s->d, s->slot[row], s->layer) + (int64_t)h * K * V;
  const rn_real *cosine = d->cosine + row * d->half, *sine = d->sine + row * d->half;
  const rn_real key_scale = (rn_real)(1 / sqrt((double)K));
  s->kernels->rotate(d->spec.rotary, 1, K, cosine, sine, 1, key_scale, k);
  s->kernels->rotate(d->spec.rotary, 1, K, cosine, sine, 1, 1, q);
  if (d->since[row] == 0) memset(state, 0, (size_t)K * (size_t)V * sizeof *state);
  s->kernels->recur(K, V, (rn_real)exp(d->core.log_gamma[h]), q, k, v, state, o);
  if (d->since[row] == 0) {
    const rn_first_token shape = {D, 1, K, V};
    const int64_t weights = (int64_t)h * K * D;
    rn_first_token_retain(shape, d->wide + (int64_t)row * D, s->params + s->at->q + weights,
                          s->params + s->at->k + weights, v, o);
  }
  s->kernels->head_norm(d->spec.head_norm, V, d->spec.norm_eps, d->alpha[row * d->spec.heads + h],
                        o);
  s->kernels->gate(V, o, s->at->head_norm >= 0 ? s->params + s->at->head_norm : NULL,
                   d->spec.gate ? q - h * K + D + h * V : NULL,
                   d->gated + (int64_t)row * Vd + h * V);
}

static void retention_block(const step *s) {
  const rn_decoder *d = s->d;
  const int D = d->spec.dim, Vd = d->spec.value_dim;
  multiply(s, own_columns(d->keys), D, s->in, s->at->k, 0, d->kvqg, d->keys);
#pragma omp barrier
#pragma omp for schedule(static)
  for (int i = 0; i < s->count * d->spec.heads; i++) {
    retain(s, i / d->spec.heads, i % d->spec.heads);
  }
  multiply(s, own_columns(D), Vd, d->gated, s->at->out, (rn_real)rn_spec_residual(&d->spec),
           d->stream, D);
#pragma omp barrier
}

static void ffn_block(const step *s) {
  const rn_decoder *d = s->d;
  const int D = d->spec.dim, F = d->spec.ffn_dim;
  const rn_range own = own_columns(F);
  const int count = (int)rn_range_count(own);
  multiply(s, own, D, s->in, s->at->fc1, 0, d->ffn, d->inner);
  if (d->spec.ffn == RN_FFN_GLU) multiply(s, own, D, s->in, s->at->gate, 0, d->ffn + F, d->inner);
  for (int r = 0; r < s->count; r++) {
    const rn_real *inner = d->ffn + (int64_t)r * d->inner + own.begin, *gate = inner + F;
    rn_real *product = d->product + (int64_t)r * F + own.begin;
    s->kernels->activate(d->spec.activation, count, inner, product, NULL);
    for (int i = 0; d->spec.ffn == RN_FFN_GLU && i < count; i++) product[i] *= gate[i];
  }
#pragma omp barrier
  multiply(s, own_columns(D), F, d->product, s->at->fc2, (rn_real)rn_spec_residual(&d->spec),
           d->stream, D);
#pragma omp barrier
}

static void layer(step *s) {
  const rn_decoder *d = s->d;
  const rn_norm first = rn_norm_make(&d->spec, s->at->retention_norm, s->at->retention_norm_bias);
  const rn_norm second = rn_norm_make(&d->spec, s->at->ffn_norm, s->at->ffn_norm_bias);
  if (s->begins) widen_first_rows(s);
  if (d->spec.pre_norm) norm_rows(s, first, d->normed);
  retention_block(s);
  norm_rows(s, d->spec.pre_norm ? second : first, d->spec.pre_norm ? d->normed : d->stream);
  ffn_block(s);
  if (!d->spec.pre_norm) norm_rows(s, second, d->stream);
}

static void all_layers(const step *of) {
  step s = *of;
  const rn_decoder *d = s.d;
  s.in = d->spec.pre_norm ? d->normed : d->stream;
  begin_rows(&s);
  for (s.layer = 0; s.layer < d->spec.layers; s.layer++) {
    s.at = &d->table->layer[s.layer];
    layer(&s);
  }
  if (d->spec.pre_norm) {
    norm_rows(&s, rn_norm_make(&d->spec, d->table->final_norm, d->table->final_norm_bias),
              d->normed);
  }
  multiply(&s, own_columns(d->spec.vocab), d->spec.dim, s.in, d->table->output, 0, s.logits,
           d->spec.vocab);
}

void rn_decoder_step(rn_decoder *d, const rn_real *params, int count, const int *slot,
                     const int32_t *token, rn_real *logits) {
  assert(count >= 0 && count <= d->slots);
  step s = {.d = d,
            .kernels = rn_kernels_table(),
            .params = params,
            .count = count,
            .slot = slot,
            .token = token,
            .logits = logits};
  for (int r = 0; r < count; r++) {
    const int64_t position = d->position[slot[r]];
    d->since[r] = position < INT32_MAX ? (int32_t)position : INT32_MAX;
    s.begins = s.begins || position == 0;
  }
  const rn_retention_view view = {.sequences = count, .tokens = 1, .since = d->since};
  rn_retention_row_scale(&d->core, &view, RN_FORM_RECURRENT, d->alpha);
#pragma omp parallel
  all_layers(&s);
  for (int r = 0; r < count; r++) d->position[slot[r]]++;
}
