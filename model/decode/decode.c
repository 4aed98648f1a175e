/*
 * Computes a step of the decoder, which processes one token of each of several sequences. All
 * threads work on the step together, in one parallel region. Each thread computes a range of the
 * columns of every product and a range of the (row, head) pairs of the retention; barriers separate
 * these phases. Every thread computes the norms of all rows, because that takes less time than a
 * barrier.
 */
#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "model/decode/decode_step.h"
#include "model/ops/norm.h"
#include "model/retention/first_token.h"
#include "proto/base/range.h"

/* Waits at the barrier before the retention. Meanwhile prefetches the states that this thread needs
 * for its first row; they are contiguous. */
static void barrier_before_states(const rn_decode_step *s, rn_range own) {
  const rn_decoder *d = s->d;
  const int heads = d->spec.heads, row = (int)(own.begin / heads), head = (int)(own.begin % heads);
  const int64_t each = (int64_t)d->key_width * d->value_width;
  const rn_real *from = NULL;
  int64_t count = rn_range_count(own);
  if (count > heads - head) count = heads - head;
  if (count > 0) from = rn_decoder_state(s->d, s->slot[row], s->layer) + head * each;
  rn_thread_barrier_wait(&s->d->barrier, from, (size_t)(count * each) * sizeof *from);
}

static bool attends(const rn_decode_step *s) {
  return rn_spec_attends(&s->d->spec, s->layer);
}

static rn_weight weight_in(const rn_decode_step *s) {
  if (attends(s)) return rn_decode_attention_in(s);
  return (rn_weight){s->at->k, s->d->retention_width, s->d->spec.dim};
}

static rn_weight weight_out(const rn_decode_step *s) {
  return (rn_weight){s->at->out, s->d->spec.dim, s->d->spec.value_dim};
}

static rn_weight weight_first(const rn_decode_step *s) {
  return (rn_weight){s->at->fc1, s->d->spec.ffn_dim, s->d->spec.dim};
}

static rn_weight weight_second(const rn_decode_step *s) {
  return (rn_weight){s->at->fc2, s->d->spec.dim, s->d->spec.ffn_dim};
}

static rn_weight weight_head(const rn_decode_step *s) {
  return (rn_weight){s->d->table->output, s->d->spec.vocab, s->d->spec.dim};
}

static void norm_row(const rn_decode_step *s, rn_norm norm, const rn_real *x, rn_real *y) {
  rn_real stat[2];
  s->kernels->norm(norm.kind, norm.width, norm.eps, s->params + norm.weight,
                   norm.bias >= 0 ? s->params + norm.bias : NULL, x, rn_reals(y), stat);
}

/* Applies the norm to the rows of the residual stream to obtain the input of the next block. */
static void norm_rows(rn_decode_step *s, rn_norm norm) {
  for (int r = 0; r < s->count; r++) {
    const int64_t at = (int64_t)r * norm.width;
    norm_row(s, norm, s->d->stream + at, s->normed + at);
  }
  s->in = s->normed;
}

/* Computes the block's input in double for rows at position 0. Such a row attends only to itself,
 * and its score must be computed in double (see model/retention/first_token.h). */
static void norm_first_rows_fp64(const rn_decode_step *s) {
  const rn_decoder *d = s->d;
  const int D = d->spec.dim;
  const rn_norm norm = rn_norm_make(&d->spec, s->at->retention_norm, s->at->retention_norm_bias);
#pragma omp for schedule(static) nowait
  for (int r = 0; r < s->count; r++) {
    double *normed_fp64 = d->normed_fp64 + (int64_t)r * D;
    if (d->doc_position[r] != 0) continue;
    if (d->spec.pre_norm) {
      rn_norm_row_fp64(&norm, s->params, d->stream + (int64_t)r * D, normed_fp64);
    } else {
      for (int i = 0; i < D; i++) normed_fp64[i] = (double)s->in[(int64_t)r * D + i];
    }
  }
}

static void set_angles(double position, int count, const double *theta, rn_real *cosine,
                       rn_real *sine) {
  for (int j = 0; j < count; j++) {
    cosine[j] = (rn_real)cos(position * theta[j]);
    sine[j] = (rn_real)sin(position * theta[j]);
  }
}

/* Looks up the embedding and computes the rotation angles of each row. */
static void begin_rows(const rn_decode_step *s) {
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
    if (d->spec.embedding_norm) {
      norm_row(s, rn_norm_make(&d->spec, d->table->embedding_norm, d->table->embedding_norm_bias),
               to, to);
    }
    set_angles(position, d->half_dim, d->theta, d->cosine + r * d->half_dim,
               d->sine + r * d->half_dim);
    set_angles(position, d->rope_half_dim, d->rope_theta, d->rope_cosine + r * d->rope_half_dim,
               d->rope_sine + r * d->rope_half_dim);
  }
}

/* Returns the row scales [slots, H] of a layer. */
static rn_real *row_scales(const rn_decoder *d, int layer) {
  const int table = d->core.tables > 1 ? layer : 0;
  return d->alpha + (int64_t)table * d->slots * d->spec.heads;
}

/* Computes the input of the output projection for one row and one head, from k, v, q and g. */
static void retain(const rn_decode_step *s, int row, int h) {
  const rn_decoder *d = s->d;
  const int D = d->spec.dim, Vd = d->spec.value_dim, K = d->key_width, V = d->value_width;
  rn_real *k = d->kvqg + (int64_t)row * d->kvqg_width + h * K, *v = k - h * K + D + h * V;
  rn_real *q = k + D + Vd, *o = d->o + (int64_t)row * Vd + h * V;
  rn_real *state = rn_decoder_state(s->d, s->slot[row], s->layer) + (int64_t)h * K * V;
  const rn_real *cosine = d->cosine + row * d->half_dim, *sine = d->sine + row * d->half_dim;
  const rn_real key_scale = (rn_real)(1 / sqrt((double)K));
  s->kernels->rotate(d->spec.rotary, 1, K, cosine, sine, 1, key_scale, k);
  s->kernels->rotate(d->spec.rotary, 1, K, cosine, sine, 1, 1, q);
  if (d->doc_position[row] == 0) memset(state, 0, (size_t)K * (size_t)V * sizeof *state);
  const rn_retention core = rn_retention_of_layer(&d->core, s->layer);
  s->kernels->recur(K, V, (rn_real)exp(core.log_gamma[h]), q, k, v, state, o);
  if (d->doc_position[row] == 0) {
    const rn_first_token shape = {D, K, V};
    const int64_t head = (int64_t)h * K * D;
    rn_first_token_retain(shape, d->normed_fp64 + (int64_t)row * D, s->params + s->at->q + head,
                          s->params + s->at->k + head, v, o);
  }
  s->kernels->head_norm(d->spec.head_norm, V, d->spec.norm_eps,
                        row_scales(d, s->layer)[row * d->spec.heads + h], o);
  s->kernels->gate(V, o, s->at->head_norm >= 0 ? s->params + s->at->head_norm : NULL,
                   d->spec.gate ? q - h * K + D + h * V : NULL,
                   d->gated + (int64_t)row * Vd + h * V);
}

static void retention_block(const rn_decode_step *s) {
  const rn_decoder *d = s->d;
  const int heads = d->spec.heads;
  const rn_range own = rn_cut(s->count * heads, omp_get_num_threads(), omp_get_thread_num());
  rn_decode_project(s, weight_in(s), s->in, d->kvqg, d->kvqg_width);
  barrier_before_states(s, own);
  for (int64_t i = own.begin; i < own.end; i++) retain(s, (int)(i / heads), (int)(i % heads));
  rn_decode_barrier_before(s, weight_out(s));
  rn_decode_add_to_stream(s, weight_out(s), d->gated);
}

static void ffn_block(const rn_decode_step *s) {
  const rn_decoder *d = s->d;
  const int F = d->spec.ffn_dim;
  const bool glu = d->spec.ffn == RN_FFN_GLU;
  const rn_weight first = weight_first(s), gate = {s->at->gate, first.n, first.k};
  const rn_range own = rn_decode_own_columns(first);
  const int count = (int)rn_range_count(own);
  rn_decode_project(s, first, s->in, d->ffn, d->inner);
  if (glu) rn_decode_project(s, gate, s->in, d->ffn + F, d->inner);
  for (int r = 0; r < s->count; r++) {
    const rn_real *inner = d->ffn + (int64_t)r * d->inner + own.begin;
    rn_real *product = d->product + (int64_t)r * F + own.begin;
    s->kernels->activate(d->spec.activation, count, inner, product, NULL);
    for (int i = 0; glu && i < count; i++) product[i] *= inner[F + i];
  }
  rn_decode_barrier_before(s, weight_second(s));
  rn_decode_add_to_stream(s, weight_second(s), d->product);
}

static void layer(rn_decode_step *s) {
  const rn_decoder *d = s->d;
  const rn_norm first = rn_norm_make(&d->spec, s->at->retention_norm, s->at->retention_norm_bias);
  const rn_norm second = rn_norm_make(&d->spec, s->at->ffn_norm, s->at->ffn_norm_bias);
  const bool attending = attends(s);
  if (s->begins && !attending) norm_first_rows_fp64(s);
  if (d->spec.pre_norm) norm_rows(s, first);
  if (attending) {
    rn_decode_attention_block(s);
  } else {
    retention_block(s);
  }
  rn_decode_barrier_before(s, weight_first(s));
  norm_rows(s, d->spec.pre_norm ? second : first);
  ffn_block(s);
  s->attending += attending ? 1 : 0;
  s->layer++;
  s->at++;
  rn_decode_barrier_before(s, s->layer < d->spec.layers ? weight_in(s) : weight_head(s));
  if (!d->spec.pre_norm) norm_rows(s, second);
}

static void all_layers(const rn_decode_step *of) {
  rn_decode_step s = *of;
  const rn_decoder *d = s.d;
  s.normed = d->normed + (int64_t)omp_get_thread_num() * d->slots * d->spec.dim;
  s.in = d->stream;
  s.at = d->table->layer;
  begin_rows(&s);
  while (s.layer < d->spec.layers) layer(&s);
  if (d->spec.pre_norm) {
    norm_rows(&s, rn_norm_make(&d->spec, d->table->final_norm, d->table->final_norm_bias));
  }
  rn_decode_project(&s, weight_head(&s), s.in, s.logits, d->spec.vocab);
}

void rn_decoder_step(rn_decoder *d, const rn_real *params, int count, const int *slot,
                     const int32_t *token, rn_real *logits) {
  assert(count >= 0 && count <= d->slots);
  rn_decode_step s = {.d = d,
                      .kernels = rn_kernels_table(),
                      .params = params,
                      .count = count,
                      .slot = slot,
                      .token = token,
                      .logits = logits};
  for (int r = 0; r < count; r++) {
    const int64_t position = d->position[slot[r]];
    assert(d->cache.layers == 0 || d->spec.attention_window > 0 || position < d->max_tokens);
    d->doc_position[r] = position < INT32_MAX ? (int32_t)position : INT32_MAX;
    s.begins = s.begins || position == 0;
  }
  const rn_retention_view view = {.sequences = count, .tokens = 1, .doc_position = d->doc_position};
  for (int l = 0; l < d->core.tables; l++) {
    const rn_retention core = rn_retention_of_layer(&d->core, l);
    rn_retention_row_scale(&core, &view, RN_FORM_RECURRENT, row_scales(d, l));
  }
  atomic_store(&d->barrier.arrivals, 0);
#pragma omp parallel num_threads(d->threads)
  all_layers(&s);
  for (int r = 0; r < count; r++) d->position[slot[r]]++;
}
