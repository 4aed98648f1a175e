/* Creates a decoder, its bf16 weights, and its slots. */
#include <assert.h>
#include <stdlib.h>

#include "model/base/array.h"
#include "model/base/threads.h"
#include "model/decode/decoder.h"

static size_t reals(const rn_decoder *d, int width) {
  return rn_arena_round((size_t)d->slots * (size_t)width * sizeof(rn_real));
}

static size_t arena_bytes(const rn_decoder *d) {
  const int D = d->spec.dim, Vd = d->spec.value_dim;
  return reals(d, D) + reals(d, d->kvqg_width) + 2 * reals(d, Vd) + reals(d, d->inner) +
         reals(d, d->spec.ffn_dim) + 2 * reals(d, d->half_dim) +
         (size_t)d->core.tables * reals(d, d->spec.heads) +
         rn_arena_round((size_t)d->slots * (size_t)D * sizeof(double)) +
         rn_arena_round((size_t)d->slots * sizeof(int32_t));
}

static void take_rows(rn_decoder *d) {
  const int D = d->spec.dim, Vd = d->spec.value_dim;
  d->stream = rn_arena_take(&d->arena, reals(d, D));
  d->kvqg = rn_arena_take(&d->arena, reals(d, d->kvqg_width));
  d->o = rn_arena_take(&d->arena, reals(d, Vd));
  d->gated = rn_arena_take(&d->arena, reals(d, Vd));
  d->ffn = rn_arena_take(&d->arena, reals(d, d->inner));
  d->product = rn_arena_take(&d->arena, reals(d, d->spec.ffn_dim));
  d->cosine = rn_arena_take(&d->arena, reals(d, d->half_dim));
  d->sine = rn_arena_take(&d->arena, reals(d, d->half_dim));
  d->alpha = rn_arena_take(&d->arena, (size_t)d->core.tables * reals(d, d->spec.heads));
  d->normed_fp64 = rn_arena_take(&d->arena, (size_t)d->slots * (size_t)D * sizeof(double));
  d->doc_position = rn_arena_take(&d->arena, (size_t)d->slots * sizeof(int32_t));
}

static int64_t slot_elements(const rn_decoder *d) {
  return (int64_t)d->spec.dim * d->value_width;
}

static rn_status take_memory(rn_err *err, bool bf16, rn_decoder *d) {
  const size_t states = (size_t)d->spec.layers * (size_t)d->slots * (size_t)slot_elements(d);
  RN_TRY(err, rn_param_table_create(err, &d->spec, 0, d->spec.layers, &d->table));
  RN_TRY(err, rn_retention_create(err, &d->spec, 1, &d->core));
  RN_TRY(err, rn_alloc(err, "rotation", (size_t)d->half_dim, sizeof(double), &d->theta));
  RN_TRY(err,
         rn_alloc(err, "normed rows", (size_t)d->threads * (size_t)d->slots * (size_t)d->spec.dim,
                  sizeof(rn_real), &d->normed));
  RN_TRY(err, rn_alloc(err, "positions", (size_t)d->slots, sizeof(int64_t), &d->position));
  RN_TRY(err, rn_alloc(err, "states", states, sizeof(rn_real), &d->states));
  RN_TRY(err, rn_arena_create(err, arena_bytes(d), &d->arena));
  if (bf16) {
    RN_TRY(err, rn_alloc(err, "weights in bf16", (size_t)d->table->total, sizeof *d->bf16_weights,
                         &d->bf16_weights));
  }
  rn_spec_angles(d->spec.rotary, d->key_width, d->theta);
  take_rows(d);
  return RN_OK;
}

rn_status rn_decoder_create(rn_err *err, const rn_spec *spec, int slots, bool bf16,
                            rn_decoder **out) {
  *out = NULL;
  if (rn_spec_attention_layers(spec, 0, spec->layers) > 0) {
    return rn_fail(err, RN_ERR_USAGE,
                   "generation needs retention in all layers: the model has attention layers "
                   "(model.arch transformer or model.attention_layers), which this version only "
                   "trains and evaluates");
  }
  rn_decoder *d;
  RN_TRY(err, rn_alloc(err, "decoder", 1, sizeof *d, &d));
  d->spec = *spec;
  d->slots = slots;
  d->key_width = rn_spec_key_width(spec);
  d->value_width = rn_spec_value_width(spec);
  d->half_dim = d->key_width / 2;
  d->kvqg_width = 2 * spec->dim + (spec->gate ? 2 : 1) * spec->value_dim;
  d->inner = (spec->ffn == RN_FFN_GLU ? 2 : 1) * spec->ffn_dim;
  d->threads = rn_threads();
  rn_status status = take_memory(err, bf16, d);
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
  free(d->bf16_weights);
  free(d->normed);
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
  return d->states + ((int64_t)layer * d->slots + slot) * slot_elements(d);
}

void rn_decoder_position_of(rn_decoder *d, int slot, int64_t position) {
  assert(slot >= 0 && slot < d->slots && position >= 0);
  d->position[slot] = position;
}
