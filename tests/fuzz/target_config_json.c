/* Fuzzes the readers of config.json, one for each format of model that can be imported. */
#include <jansson.h>

#include "model/spec/spec.h"
#include "proto/options/options.h"
#include "tests/fuzz/target.h"
#include "trainer/exchange/format.h"

static bool read_as(const rn_exchange_format *format, json_t *object) {
  rn_err err = {0};
  rn_spec spec;
  Retnet__Config *config = NULL;
  const rn_json_fields fields = {object, "config.json"};
  target_require(rn_options_create(&err, &config) == RN_OK, "memory suffices");
  rn_status status = format->read(&err, &fields, config);
  if (status == RN_OK) status = rn_spec_from_config(&err, config, config->model->vocab, &spec);
  rn_options_free(&config);
  return target_is_ok(status, &err);
}

bool target_run(const uint8_t *data, size_t bytes) {
  json_t *object = json_loadb((const char *)data, bytes, JSON_REJECT_DUPLICATES, NULL);
  bool accepted = false;
  if (json_is_object(object)) {
    accepted |= read_as(&rn_format_fla, object);
    accepted |= read_as(&rn_format_torchscale, object);
    accepted |= read_as(&rn_format_llama, object);
  }
  json_decref(object);
  return accepted;
}
