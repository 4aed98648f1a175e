/* Creates a decoder, its bf16 weights, and its slots. */
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/base/array.h"
#include "model/base/threads.h"
#include "model/decode/decoder.h"

static size_t reals(const rn_decoder *d, int64_t width) {
  return rn_arena_round((size_t)d->slots * (size_t)width * sizeof(rn_real));
}

/* Returns the number of input columns of the widest output projection: D in attention layers, H V
 * in retention layers. */
static int gated_width(const rn_decoder *d) {
  const int D = d->spec.dim, Vd = d->retaining > 0 ? d->spec.value_dim : 0;
  return D > Vd ? D : Vd;
}

/* Returns the number of elements of d->partial for one row. */
static int64_t partial_elements(const rn_decoder *d) {
  return (int64_t)d->cache.heads * d->cache.blocks * rn_attention_cache_partial(&d->cache);
}

static size_t arena_bytes(const rn_decoder *d) {
  const int D = d->spec.dim, Vd = gated_width(d);
  return reals(d, D) + reals(d, d->kvqg_width) + 2 * reals(d, Vd) + reals(d, d->inner) +
         reals(d, d->spec.ffn_dim) + 2 * reals(d, d->half_dim) + 2 * reals(d, d->rope_half_dim) +
         reals(d, partial_elements(d)) + (size_t)d->core.tables * reals(d, d->spec.heads) +
         rn_arena_round((size_t)d->slots * (size_t)D * sizeof(double)) +
         rn_arena_round((size_t)d->slots * sizeof(int32_t));
}

static void take_rows(rn_decoder *d) {
  const int D = d->spec.dim, Vd = gated_width(d);
  d->stream = rn_arena_take(&d->arena, reals(d, D));
  d->kvqg = rn_arena_take(&d->arena, reals(d, d->kvqg_width));
  d->o = rn_arena_take(&d->arena, reals(d, Vd));
  d->gated = rn_arena_take(&d->arena, reals(d, Vd));
  d->ffn = rn_arena_take(&d->arena, reals(d, d->inner));
  d->product = rn_arena_take(&d->arena, reals(d, d->spec.ffn_dim));
  d->cosine = rn_arena_take(&d->arena, reals(d, d->half_dim));
  d->sine = rn_arena_take(&d->arena, reals(d, d->half_dim));
  d->rope_cosine = rn_arena_take(&d->arena, reals(d, d->rope_half_dim));
  d->rope_sine = rn_arena_take(&d->arena, reals(d, d->rope_half_dim));
  d->partial = rn_arena_take(&d->arena, reals(d, partial_elements(d)));
  d->alpha = rn_arena_take(&d->arena, (size_t)d->core.tables * reals(d, d->spec.heads));
  d->normed_fp64 = rn_arena_take(&d->arena, (size_t)d->slots * (size_t)D * sizeof(double));
  d->doc_position = rn_arena_take(&d->arena, (size_t)d->slots * sizeof(int32_t));
}

static int64_t slot_elements(const rn_decoder *d) {
  return (int64_t)d->spec.dim * d->value_width;
}

static rn_status take_tables(rn_err *err, rn_decoder *d) {
  RN_TRY(err, rn_param_table_create(err, &d->spec, 0, d->spec.layers, &d->table));
  if (d->retaining > 0) RN_TRY(err, rn_retention_create(err, &d->spec, 1, &d->core));
  RN_TRY(err, rn_alloc(err, "rotation", (size_t)d->half_dim, sizeof(double), &d->theta));
  RN_TRY(err, rn_alloc(err, "rotation", (size_t)d->rope_half_dim, sizeof(double), &d->rope_theta));
  rn_spec_angles(d->spec.rotary, d->key_width, d->theta);
  if (d->rope_half_dim > 0) {
    rn_spec_rope_angles(d->spec.rope_theta, d->cache.width, d->rope_theta);
  }
  return RN_OK;
}

static rn_status take_memory(rn_err *err, bool bf16, rn_decoder *d) {
  const size_t slots = (size_t)d->slots, threads = (size_t)d->threads;
  const size_t states = (size_t)d->retaining * slots * (size_t)slot_elements(d);
  RN_TRY(err, take_tables(err, d));
  RN_TRY(err, rn_alloc(err, "normed rows", threads * slots * (size_t)d->spec.dim, sizeof(rn_real),
                       &d->normed));
  RN_TRY(err, rn_alloc(err, "positions", slots, sizeof(int64_t), &d->position));
  RN_TRY(err, rn_alloc(err, "states", states, sizeof(rn_real), &d->states));
  RN_TRY(err, rn_attention_cache_create(err, &d->cache));
  RN_TRY(err, rn_alloc(err, "attention", threads * (size_t)rn_decoder_attention_scratch(d),
                       sizeof(rn_real), &d->attention_scratch));
  RN_TRY(err, rn_arena_create(err, arena_bytes(d), &d->arena));
  take_rows(d);
  if (!bf16) return RN_OK;
  return rn_alloc(err, "weights in bf16", (size_t)d->table->total, sizeof *d->bf16_weights,
                  &d->bf16_weights);
}

/* Sets the sizes of a decoder. Depends only on the spec and the shape. */
static void set_sizes(const rn_spec *spec, rn_decoder_shape shape, rn_decoder *d) {
  const int attending = rn_spec_attention_layers(spec, 0, spec->layers);
  d->spec = *spec;
  d->slots = shape.slots;
  d->max_tokens = shape.max_tokens;
  d->retaining = spec->layers - attending;
  d->key_width = rn_spec_key_width(spec);
  d->value_width = rn_spec_value_width(spec);
  d->half_dim = d->key_width / 2;
  d->retention_width = 2 * spec->dim + (spec->gate ? 2 : 1) * spec->value_dim;
  d->cache = rn_attention_cache_shape(spec, shape.slots, shape.max_tokens);
  d->rope_half_dim = d->cache.width / 2;
  if (d->retaining > 0) d->kvqg_width = d->retention_width;
  const int attention_width = 2 * d->cache.kv_heads * d->cache.width + spec->dim;
  if (attending > 0 && attention_width > d->kvqg_width) d->kvqg_width = attention_width;
  d->inner = (spec->ffn == RN_FFN_GLU ? 2 : 1) * spec->ffn_dim;
}

/* Returns a double, because a shape that check_size refuses may need more than SIZE_MAX bytes. */
static double state_bytes(const rn_decoder *d) {
  return (double)d->retaining * d->slots * (double)slot_elements(d) * sizeof(rn_real) +
         rn_attention_cache_bytes(&d->cache);
}

/* Refuses states that need more memory than the machine has. This is checked before the allocation,
 * because the allocation also touches the memory. */
static rn_status check_size(rn_err *err, const rn_decoder *d) {
  const double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
  const double bytes = state_bytes(d);
  if (memory <= 0 || bytes <= memory) return RN_OK;
  return rn_fail(err, RN_ERR_MEMORY,
                 "the states of %d sequences of up to %lld tokens need %.1f GiB, and this machine "
                 "has %.1f GiB: generate fewer tokens, or fewer sequences at a time",
                 d->slots, (long long)d->max_tokens, bytes / (1 << 30), memory / (1 << 30));
}

rn_status rn_decoder_create(rn_err *err, const rn_spec *spec, rn_decoder_shape shape,
                            rn_decoder **out) {
  *out = NULL;
  rn_decoder *d;
  RN_TRY(err, rn_alloc(err, "decoder", 1, sizeof *d, &d));
  set_sizes(spec, shape, d);
  d->threads = rn_threads();
  rn_status status = check_size(err, d);
  if (status == RN_OK) status = take_memory(err, shape.bf16, d);
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
  rn_attention_cache_destroy(&d->cache);
  free(d->attention_scratch);
  free(d->rope_theta);
  free(d->theta);
  free(d->position);
  free(d->states);
  free(d->bf16_weights);
  free(d->normed);
  free(d);
  *decoder = NULL;
}

/* ---- slots ---- */

double rn_decoder_state_bytes(const rn_decoder *d) {
  return state_bytes(d);
}

double rn_decoder_measure_state(const rn_spec *spec, rn_decoder_shape shape) {
  rn_decoder d = {0};
  set_sizes(spec, shape, &d);
  return state_bytes(&d);
}

size_t rn_decoder_weight_bytes(const rn_decoder *d, int count) {
  size_t bytes = d->spec.tie_embeddings ? 0 : (size_t)count * (size_t)d->spec.dim * sizeof(rn_real);
  for (int i = 0; i < d->table->count; i++) {
    const rn_param *p = &d->table->param[i];
    const bool looked_up = p->offset == d->table->embedding && !d->spec.tie_embeddings;
    const size_t each = rn_element_bytes(d->bf16_weights != NULL && p->matrix);
    if (!looked_up) bytes += (size_t)(p->rows * p->cols) * each;
  }
  return bytes;
}

void rn_decoder_cast_weights(rn_decoder *d, rn_real *params) {
  assert(d->bf16_weights != NULL);
#pragma omp parallel for schedule(dynamic)
  for (int i = 0; i < d->table->count; i++) {
    const rn_param *p = &d->table->param[i];
    for (int64_t at = p->offset; p->matrix && at < p->offset + p->rows * p->cols; at++) {
      d->bf16_weights[at] = rn_bf16_of(params[at]);
      params[at] = rn_bf16_value(d->bf16_weights[at]);
    }
  }
}

rn_real *rn_decoder_state(rn_decoder *d, int slot, int layer) {
  assert(slot >= 0 && slot < d->slots && layer >= 0 && layer < d->spec.layers);
  assert(!rn_spec_attends(&d->spec, layer));
  const int index =
      d->cache.layers == 0 ? layer : layer - rn_spec_attention_layers(&d->spec, 0, layer);
  return d->states + ((int64_t)index * d->slots + slot) * slot_elements(d);
}

void rn_decoder_position_of(rn_decoder *d, int slot, int64_t position) {
  assert(slot >= 0 && slot < d->slots && position >= 0);
  d->position[slot] = position;
}
