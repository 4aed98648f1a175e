/* Functions that all formats share: they translate tensor names, check the limits of models, and
 * write the document token. */
#include "trainer/exchange/format.h"

#include <stdio.h>
#include <string.h>

rn_status rn_format_check(rn_err *err, const char *program, const rn_format_limit *limit,
                          int count) {
  for (int i = 0; i < count; i++) {
    if (limit[i].fits) continue;
    return rn_fail(err, RN_ERR_MISMATCH,
                   "model.%s: the %s model supports only %s, so this checkpoint cannot be exported",
                   limit[i].key, program, limit[i].supported);
  }
  return RN_OK;
}

rn_status rn_format_check_config(rn_err *err, const rn_json_fields *c, const rn_format_limit *limit,
                                 int count) {
  for (int i = 0; i < count; i++) {
    if (limit[i].fits) continue;
    return rn_fail(err, RN_ERR_MISMATCH,
                   "%s: %s: only %s is supported, so the model cannot be imported", c->file,
                   limit[i].key, limit[i].supported);
  }
  return RN_OK;
}

rn_status rn_format_read_hf(rn_err *err, const rn_json_fields *c, const rn_format_hf_keys *keys,
                            Retnet__Config *out) {
  enum { MAX_WIDTH = 1 << 20, MAX_LAYERS = 65536, MAX_VOCAB = 1 << 24, MAX_LENGTH = 1 << 30 };
  Retnet__Model *model = out->model;
  int dim, layers, heads, vocab;
  bool tied;
  double eps;
  RN_TRY(err, rn_json_int(err, c, "hidden_size", MAX_WIDTH, keys->dim_default, &dim));
  RN_TRY(err, rn_json_int(err, c, "num_hidden_layers", MAX_LAYERS, keys->layers_default, &layers));
  RN_TRY(err, rn_json_int(err, c, keys->heads, MAX_LAYERS, keys->heads_default, &heads));
  RN_TRY(err, rn_json_int(err, c, "vocab_size", MAX_VOCAB, 32000, &vocab));
  RN_TRY(err, rn_json_bool(err, c, "tie_word_embeddings", false, &tied));
  RN_TRY(err, rn_json_real(err, c, keys->norm_eps, 0.5, 1e-6, &eps));
  RN_TRY(err, rn_json_int(err, c, "max_position_embeddings", MAX_LENGTH, 2048,
                          &out->data->sequence_length));
  RN_TRY(err, rn_json_refuse(err, c, "quantization_config", "a quantized model"));
  out->data->has_sequence_length = true;
  RN_FORMAT_SET(model, dim, dim);
  RN_FORMAT_SET(model, layers, layers);
  RN_FORMAT_SET(model, heads, heads);
  RN_FORMAT_SET(model, vocab, vocab);
  RN_FORMAT_SET(model, tie_embeddings, tied);
  RN_FORMAT_SET(model, norm_eps, eps);
  RN_FORMAT_SET(model, init, RETNET__INIT__INIT_NORMAL002);
  return RN_OK;
}

static json_t *token_or_null(int token) {
  return token < 0 ? json_null() : json_integer(token);
}

json_t *rn_format_give_document(json_t *config, const rn_exchange_model *model) {
  const int begun = json_object_set_new(config, "bos_token_id", token_or_null(model->begin_token));
  const int ended =
      json_object_set_new(config, "eos_token_id", token_or_null(model->document_token));
  if (begun == 0 && ended == 0) return config;
  json_decref(config);
  return NULL;
}

bool rn_format_name(const rn_exchange_format *format, const char *ours, bool older, char *name,
                    size_t bytes) {
  int layer = 0, inside = 0;
  if (format->names == NULL) return snprintf(name, bytes, "%s", ours) > 0 && !older;
  const bool in_layer = sscanf(ours, "layers.%d.%n", &layer, &inside) == 1 && inside > 0;
  for (int i = 0; i < format->names->count; i++) {
    const rn_tensor_name *entry = &format->names->name[i];
    const char *theirs = older ? entry->older : entry->theirs;
    if (theirs == NULL || strcmp(ours + inside, entry->ours) != 0) continue;
    if (!in_layer) return snprintf(name, bytes, "%s", theirs) > 0;
    return snprintf(name, bytes, "%s%d.%s", format->names->layers, layer, theirs) > 0;
  }
  return false;
}
