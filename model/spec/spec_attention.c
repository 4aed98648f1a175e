#include "model/spec/spec_attention.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/range.h"

/* Sets the keys that only retention reads to their defaults in the schema. Returns an error if the
 * config sets one of them to another value, because the run would ignore it. A key that is given
 * with its default is accepted, because configs written by programs contain all keys. */
static rn_status clear_retention_keys(rn_err *err, const Retnet__Model *model, rn_spec *spec) {
  const Retnet__Model defaults = RETNET__MODEL__INIT;
#define RN_CLEAR(key, type)                                                 \
  if (model->has_##key && model->key != defaults.key) {                     \
    return rn_fail(err, RN_ERR_USAGE,                                       \
                   "model." #key                                            \
                   " has no effect with model.arch transformer, where all " \
                   "layers are attention layers: remove the key");          \
  }                                                                         \
  spec->key = (type)defaults.key;
  RN_CLEAR(value_dim, int)
  RN_CLEAR(decay, rn_decay)
  RN_CLEAR(rotary, rn_rotary)
  RN_CLEAR(head_norm, rn_head_norm)
  RN_CLEAR(gate, bool)
  RN_CLEAR(retention_scale, rn_retention_scale)
#undef RN_CLEAR
  return RN_OK;
}

/* Returns an error if a key of attention is not at its default in a model without attention layers,
 * because the run would ignore it. */
static rn_status check_attention_keys(rn_err *err, const rn_spec *spec) {
  const Retnet__Model defaults = RETNET__MODEL__INIT;
  const int heads = spec->attention_heads, kv_heads = spec->kv_heads;
  const char *key = NULL;
  if (heads != 0 && heads != spec->heads) key = "attention_heads";
  if (kv_heads != 0 && kv_heads != spec->heads) key = "kv_heads";
  if (spec->attention_window != defaults.attention_window) key = "attention_window";
  if (spec->rope_theta < defaults.rope_theta || spec->rope_theta > defaults.rope_theta) {
    key = "rope_theta";
  }
  if (key == NULL) return RN_OK;
  return rn_fail(
      err, RN_ERR_USAGE,
      "model.%s has no effect in a model without attention layers: remove the key, or add "
      "attention layers with model.attention_layers or model.arch transformer",
      key);
}

void rn_spec_fit_preset(const Retnet__Model *model, Retnet__Model *preset) {
  if (model->arch != RETNET__ARCH__ARCH_TRANSFORMER) return;
  preset->has_value_dim = preset->has_decay = preset->has_rotary = false;
  preset->has_head_norm = preset->has_gate = preset->has_retention_scale = false;
}

void rn_spec_fit_attention(rn_spec *spec) {
  const Retnet__Model defaults = RETNET__MODEL__INIT;
  if (spec->arch != RN_ARCH_TRANSFORMER) {
    memset(spec->attention_layers, 0, sizeof spec->attention_layers);
    spec->attention_heads = spec->kv_heads = spec->heads;
    spec->attention_window = defaults.attention_window;
    spec->rope_theta = defaults.rope_theta;
    return;
  }
  spec->attention_heads = spec->heads;
  spec->value_dim = defaults.value_dim;
  while (spec->dim % spec->attention_heads != 0 || spec->dim / spec->attention_heads % 2 != 0) {
    spec->attention_heads--;
  }
  spec->kv_heads = (int)rn_common_divisor(spec->kv_heads, spec->attention_heads);
}

static rn_status take_layers(rn_err *err, const Retnet__Model *model, rn_spec *spec) {
  for (size_t i = 0; i < model->n_attention_layers; i++) {
    const int layer = model->attention_layers[i];
    if (layer < 0 || layer >= spec->layers || layer >= RN_SPEC_LISTED_LAYERS) {
      return rn_fail(
          err, RN_ERR_USAGE,
          "model.attention_layers: layer %d cannot be listed: layers are numbered from 0 to "
          "model.layers - 1 (%d), and only the first %d of them can be listed",
          layer, spec->layers - 1, RN_SPEC_LISTED_LAYERS);
    }
    if (rn_spec_attends(spec, layer)) {
      return rn_fail(err, RN_ERR_USAGE, "model.attention_layers: layer %d is listed twice", layer);
    }
    spec->attention_layers[layer / 64] |= UINT64_C(1) << layer % 64;
  }
  return RN_OK;
}

static int ascending(const void *a, const void *b) {
  const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
  return (x > y) - (x < y);
}

void rn_spec_settle_attention(Retnet__Model *model) {
  if (model->attention_heads == 0) model->attention_heads = model->heads;
  if (model->kv_heads == 0) model->kv_heads = model->attention_heads;
  if (model->n_attention_layers > 1) {
    qsort(model->attention_layers, model->n_attention_layers, sizeof *model->attention_layers,
          ascending);
  }
}

rn_status rn_spec_take_attention(rn_err *err, const Retnet__Model *model, rn_spec *spec) {
  if (spec->arch == RN_ARCH_TRANSFORMER) {
    if (model->n_attention_layers > 0) {
      return rn_fail(err, RN_ERR_USAGE,
                     "model.attention_layers has no effect with model.arch transformer, where all "
                     "layers are attention layers: remove the key");
    }
    if (spec->attention_heads != 0 && spec->attention_heads != spec->heads) {
      return rn_fail(err, RN_ERR_USAGE,
                     "model.attention_heads: %d differs from model.heads (%d); with model.arch "
                     "transformer, set only model.heads",
                     spec->attention_heads, spec->heads);
    }
    RN_TRY(err, clear_retention_keys(err, model, spec));
  } else {
    RN_TRY(err, take_layers(err, model, spec));
  }
  if (rn_spec_attention_layers(spec, 0, spec->layers) == 0) {
    RN_TRY(err, check_attention_keys(err, spec));
  }
  if (spec->attention_heads == 0) spec->attention_heads = spec->heads;
  if (spec->kv_heads == 0) spec->kv_heads = spec->attention_heads;
  return RN_OK;
}

rn_status rn_spec_check_attention(rn_err *err, const rn_spec *spec) {
  const char *key = spec->arch == RN_ARCH_TRANSFORMER ? "heads" : "attention_heads";
  const int heads = spec->attention_heads;
  if (rn_spec_attention_layers(spec, 0, spec->layers) == 0) return RN_OK;
  if (heads <= 0 || spec->dim % heads != 0 || spec->dim / heads % 2 != 0) {
    return rn_fail(err, RN_ERR_USAGE,
                   "model.%s: %d is invalid: model.dim (%d) divided by it must be an even integer, "
                   "the channels per head",
                   key, heads, spec->dim);
  }
  if (spec->kv_heads <= 0 || heads % spec->kv_heads != 0) {
    return rn_fail(err, RN_ERR_USAGE, "model.kv_heads: %d does not divide model.%s (%d)",
                   spec->kv_heads, key, heads);
  }
  return RN_OK;
}

int rn_spec_attention_layers(const rn_spec *spec, int first, int last) {
  int count = 0;
  for (int layer = first; layer < last; layer++) count += rn_spec_attends(spec, layer) ? 1 : 0;
  return count;
}
