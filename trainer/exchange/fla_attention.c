/* Source: fla/models/hybrid.py, fla/layers/attn.py. As in our model, the window includes the token
 * itself, and pairs of channels from the two halves of a head are rotated. */
#include "trainer/exchange/fla_attention.h"

#include <stdio.h>
#include <stdlib.h>

#include "data/file/file.h"
#include "trainer/exchange/format.h"

json_t *rn_fla_attention_describe(const rn_spec *spec) {
  if (rn_spec_attention_layers(spec, 0, spec->layers) == 0) return json_null();
  json_t *layers = json_array();
  int failed = 0;
  for (int layer = 0; layer < spec->layers; layer++) {
    if (rn_spec_attends(spec, layer)) failed |= json_array_append_new(layers, json_integer(layer));
  }
  if (failed != 0) {
    json_decref(layers);
    return NULL;
  }
  json_t *window = spec->attention_window > 0 ? json_integer(spec->attention_window) : json_null();
  return json_pack("{s:o, s:i, s:i, s:b, s:o, s:f}", "layers", layers, "num_heads",
                   spec->attention_heads, "num_kv_heads", spec->kv_heads, "qkv_bias", 0,
                   "window_size", window, "rope_theta", spec->rope_theta);
}

/* The values of one `attn` object, except its layers. */
typedef struct attention {
  int heads, kv_heads, window; /* 0: none */
  double theta;
} attention;

static rn_status read_object(rn_err *err, const rn_json_fields *f, attention *out) {
  enum { MAX_HEADS = 65536, MAX_WINDOW = 1 << 30 };
  bool bias;
  if (!json_is_object(f->object)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: it must be an object or a list of objects", f->file);
  }
  RN_TRY(err, rn_json_int(err, f, "num_heads", MAX_HEADS, RN_JSON_REQUIRED, &out->heads));
  RN_TRY(err, rn_json_int(err, f, "num_kv_heads", MAX_HEADS, out->heads, &out->kv_heads));
  RN_TRY(err, rn_json_int(err, f, "window_size", MAX_WINDOW, 0, &out->window));
  RN_TRY(err, rn_json_real(err, f, "rope_theta", 1e300, 10000, &out->theta));
  RN_TRY(err, rn_json_bool(err, f, "qkv_bias", false, &bias));
  return rn_format_check_config(err, f, &(rn_format_limit){!bias, "qkv_bias", "false"}, 1);
}

/* Appends the layers of one `attn` object. rn_spec_from_config later rejects a layer that is listed
 * twice. */
static rn_status add_layers(rn_err *err, const rn_json_fields *f, Retnet__Model *model) {
  const json_t *layers = json_object_get(f->object, "layers"), *layer;
  size_t i;
  if (!json_is_array(layers) ||
      json_array_size(layers) + model->n_attention_layers > RN_SPEC_LISTED_LAYERS) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: layers must be a list of at most %d layers", f->file,
                   RN_SPEC_LISTED_LAYERS);
  }
  json_array_foreach(layers, i, layer) {
    const json_int_t number = json_is_integer(layer) ? json_integer_value(layer) : -1;
    if (number < 0 || number >= model->layers) {
      return rn_fail(err, RN_ERR_FORMAT,
                     "%s: layers must be whole numbers from 0 to num_hidden_layers - 1", f->file);
    }
    model->attention_layers[model->n_attention_layers++] = (int32_t)number;
  }
  return RN_OK;
}

static bool is_equal(const attention *a, const attention *b) {
  return a->heads == b->heads && a->kv_heads == b->kv_heads && a->window == b->window &&
         a->theta == b->theta;
}

rn_status rn_fla_attention_read(rn_err *err, const rn_json_fields *c, Retnet__Config *out) {
  Retnet__Model *model = out->model;
  json_t *attn = json_object_get(c->object, "attn");
  const size_t count = json_is_array(attn) ? json_array_size(attn) : 1;
  attention first = {0};
  char where[RN_PATH_BYTES + 8];
  if (!rn_json_has(c, "attn") || count == 0) return RN_OK;
  model->attention_layers = calloc(RN_SPEC_LISTED_LAYERS, sizeof *model->attention_layers);
  if (model->attention_layers == NULL) {
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while reading %s", c->file);
  }
  snprintf(where, sizeof where, "%s: attn", c->file);
  for (size_t i = 0; i < count; i++) {
    const rn_json_fields object = {json_is_array(attn) ? json_array_get(attn, i) : attn, where};
    attention this;
    RN_TRY(err, read_object(err, &object, &this));
    RN_TRY(err, add_layers(err, &object, model));
    if (i == 0) first = this;
    const rn_format_limit limit = {is_equal(&first, &this), "attn",
                                   "a list of objects that are equal in all but layers"};
    RN_TRY(err, rn_format_check_config(err, c, &limit, 1));
  }
  RN_FORMAT_SET(model, attention_heads, first.heads);
  RN_FORMAT_SET(model, kv_heads, first.kv_heads);
  RN_FORMAT_SET(model, attention_window, first.window);
  RN_FORMAT_SET(model, rope_theta, first.theta);
  return RN_OK;
}
