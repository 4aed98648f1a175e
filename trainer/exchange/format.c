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
