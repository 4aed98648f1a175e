#include "trainer/exchange/json_fields.h"

static json_t *member(const rn_json_fields *f, const char *key) {
  json_t *value = json_object_get(f->object, key);
  return json_is_null(value) ? NULL : value;
}

bool rn_json_has(const rn_json_fields *f, const char *key) {
  return member(f, key) != NULL;
}

static rn_status missing(rn_err *err, const rn_json_fields *f, const char *key) {
  return rn_fail(err, RN_ERR_FORMAT, "%s: %s is missing", f->file, key);
}

rn_status rn_json_int(rn_err *err, const rn_json_fields *f, const char *key, int max, int otherwise,
                      int *out) {
  const json_t *value = member(f, key);
  if (value == NULL && otherwise == RN_JSON_REQUIRED) return missing(err, f, key);
  const json_int_t number = value == NULL ? otherwise : json_integer_value(value);
  if (value != NULL && (!json_is_integer(value) || number < 1 || number > max)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: %s must be a whole number from 1 to %d", f->file, key,
                   max);
  }
  *out = (int)number;
  return RN_OK;
}

rn_status rn_json_real(rn_err *err, const rn_json_fields *f, const char *key, double max,
                       double otherwise, double *out) {
  const json_t *value = member(f, key);
  const double number = value == NULL ? otherwise : json_number_value(value);
  if (value != NULL && (!json_is_number(value) || !(number > 0 && number <= max))) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: %s must be a number greater than 0, at most %g",
                   f->file, key, max);
  }
  *out = number;
  return RN_OK;
}

rn_status rn_json_bool(rn_err *err, const rn_json_fields *f, const char *key, bool otherwise,
                       bool *out) {
  const json_t *value = member(f, key);
  if (value != NULL && !json_is_boolean(value)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: %s must be true or false", f->file, key);
  }
  *out = value == NULL ? otherwise : json_is_true(value);
  return RN_OK;
}

rn_status rn_json_string(rn_err *err, const rn_json_fields *f, const char *key,
                         const char *otherwise, const char **out) {
  const json_t *value = member(f, key);
  if (value == NULL && otherwise == NULL) return missing(err, f, key);
  if (value != NULL && !json_is_string(value)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: %s must be a string", f->file, key);
  }
  *out = value == NULL ? otherwise : json_string_value(value);
  return RN_OK;
}

rn_status rn_json_refuse(rn_err *err, const rn_json_fields *f, const char *key, const char *what) {
  if (!rn_json_has(f, key)) return RN_OK;
  return rn_fail(err, RN_ERR_MISMATCH,
                 "%s: %s: %s is not supported, so the model cannot be imported", f->file, key,
                 what);
}
