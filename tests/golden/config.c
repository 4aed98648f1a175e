/* Reads values from the config of a case and checks that they are valid. */
#include <math.h>

#include "tests/golden/golden.h"

rn_status golden_int(rn_err *err, const golden_case *c, const char *key, int limit, int *out) {
  const json_t *value = json_object_get(c->config, key);
  if (!json_is_integer(value) || json_integer_value(value) < 1 ||
      json_integer_value(value) > limit) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: config.%s must be a whole number of 1 to %d", c->path,
                   key, limit);
  }
  *out = (int)json_integer_value(value);
  return RN_OK;
}

rn_status golden_real(rn_err *err, const json_t *object, const char *key, double *out) {
  const json_t *value = json_object_get(object, key);
  if (!json_is_number(value) || !isfinite(json_number_value(value))) {
    return rn_fail(err, RN_ERR_FORMAT, "config: %s must be a number", key);
  }
  *out = json_number_value(value);
  return RN_OK;
}

rn_status golden_flag(rn_err *err, const golden_case *c, const char *key, bool *out) {
  const json_t *value = json_object_get(c->config, key);
  if (!json_is_boolean(value)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: config.%s must be true or false", c->path, key);
  }
  *out = json_is_true(value);
  return RN_OK;
}

rn_status golden_string(rn_err *err, const json_t *object, const char *key, const char **out) {
  const json_t *value = json_object_get(object, key);
  if (!json_is_string(value)) {
    return rn_fail(err, RN_ERR_FORMAT, "config: %s must be a string", key);
  }
  *out = json_string_value(value);
  return RN_OK;
}
