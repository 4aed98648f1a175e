/* Derives the spec from this program's configuration keys. */
#include <stdio.h>
#include <string.h>

#include "proto/options/options.h"
#include "tests/golden/spec.h"

static json_t *own_keys(const golden_case *c) {
  return json_object_get(json_object_get(c->config, "run_config"), "model");
}

bool golden_has_own_config(const golden_case *c) {
  return json_is_object(own_keys(c));
}

/* Writes a value as text in the syntax of the command line. */
static rn_status value_text(rn_err *err, const golden_case *c, const char *key, const json_t *value,
                            char text[256]) {
  const int written = json_is_string(value)
                          ? snprintf(text, 256, "%s", json_string_value(value))
                          : (int)json_dumpb(value, text, 256, JSON_ENCODE_ANY | JSON_COMPACT);
  if (written < 0 || written >= 256) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: config.run_config.model.%s: too long", c->path, key);
  }
  text[written] = '\0';
  return RN_OK;
}

static rn_status set_keys(rn_err *err, const golden_case *c, Retnet__Config *config) {
  const char *key;
  json_t *value;
  json_object_foreach(own_keys(c), key, value) {
    char text[256], name[128];
    snprintf(name, sizeof name, "model.%s", key);
    RN_TRY(err, value_text(err, c, key, value, text));
    RN_TRY(err, rn_options_set(err, config, c->path, name, text));
  }
  return RN_OK;
}

rn_status golden_read_own(rn_err *err, const golden_case *c, rn_spec *spec) {
  Retnet__Config *config = NULL;
  RN_TRY(err, rn_options_create(err, &config));
  rn_status status = set_keys(err, c, config);
  if (status == RN_OK) status = rn_spec_from_config(err, config, 0, spec);
  rn_options_free(&config);
  return status;
}
