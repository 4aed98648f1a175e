/* Parses text into a member of the message, with every check of the schema. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/options/options_key.h"

enum { TEXT_BYTES = 512, MAX_LIST = 1024 };

static rn_status wrong(rn_err *err, const char *where, const char *key, const char *value,
                       const char *wanted) {
  return rn_fail(err, RN_ERR_USAGE, "%s: %s: \"%s\" is not %s", where, key, value, wanted);
}

static rn_status check_range(rn_err *err, const char *where, const char *key, const char *value,
                             const rn_schema_key *schema, double number) {
  const bool low =
      !schema->has_low || number > schema->low || (!schema->low_open && number == schema->low);
  const bool high =
      !schema->has_high || number < schema->high || (!schema->high_open && number == schema->high);
  if (low && high) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "%s: %s: %s is out of range (%s)", where, key, value,
                 schema->range);
}

/* Rejects spaces, octal and hexadecimal, which YAML implementations read differently. */
static bool is_decimal(const char *value) {
  const char *digits = value + (*value == '+' || *value == '-');
  if (digits[0] == '0' && isdigit((unsigned char)digits[1])) return false;
  return digits[0] != '\0' && digits[strspn(digits, "0123456789.eE+-")] == '\0';
}

static rn_status parse_integer(rn_err *err, const char *where, const char *key, const char *value,
                               const rn_schema_key *schema, int64_t limit, int64_t *out) {
  char *end;
  errno = 0;
  long long number = strtoll(value, &end, 10);
  if (end == value || *end != '\0' || !is_decimal(value)) {
    return wrong(err, where, key, value, "an integer in plain decimal digits");
  }
  if (errno == ERANGE || number > limit || number < -limit) {
    return wrong(err, where, key, value, "a number that this key can hold");
  }
  *out = number;
  return check_range(err, where, key, value, schema, (double)number);
}

static rn_status parse_number(rn_err *err, const char *where, const char *key, const char *value,
                              const rn_schema_key *schema, double *out) {
  char *end;
  double number = strtod(value, &end);
  if (end == value || *end != '\0' || !isfinite(number) || !is_decimal(value)) {
    return wrong(err, where, key, value, "a finite number in plain decimal digits");
  }
  *out = number;
  return check_range(err, where, key, value, schema, number);
}

static rn_status parse_bool(rn_err *err, const char *where, const char *key, const char *value,
                            protobuf_c_boolean *out) {
  static const char *const words[] = {"false", "true", "False", "True", "FALSE", "TRUE"};
  for (int i = 0; i < 6; i++) {
    if (strcmp(value, words[i]) != 0) continue;
    *out = i % 2;
    return RN_OK;
  }
  return wrong(err, where, key, value,
               "true or false (yes, no, on, off, 1 and 0 are not accepted)");
}

static rn_status parse_word(rn_err *err, const char *where, const char *key, const char *value,
                            const ProtobufCEnumDescriptor *type, int *out) {
  char words[TEXT_BYTES] = "", word[TEXT_BYTES];
  for (unsigned i = 0; i < type->n_values; i++) {
    rn_options_word(type, (int)i, word, sizeof word);
    if (strcmp(word, value) == 0) {
      *out = type->values[i].value;
      return RN_OK;
    }
    strncat(words, i > 0 ? "|" : "one of ", sizeof words - strlen(words) - 1);
    strncat(words, word, sizeof words - strlen(words) - 1);
  }
  return wrong(err, where, key, value, words);
}

static rn_status set_string(rn_err *err, const char *where, const char *name, const char *value,
                            const rn_options_key *key, char **member) {
  if (!rn_options_is_text(value)) {
    return rn_fail(err, RN_ERR_USAGE, "%s: %s: the value is not UTF-8, or has %d bytes or more",
                   where, name, RN_OPTIONS_STRING_BYTES);
  }
  /* No shell has expanded this tilde, and nobody wants a folder named "~". */
  if (value[0] == '~' && (value[1] == '\0' || value[1] == '/')) {
    return rn_fail(err, RN_ERR_USAGE,
                   "%s: %s: the ~ in %s is not expanded: write the whole path, or ./%s for a file "
                   "of that name",
                   where, name, value, value);
  }
  char *copy = strdup(value);
  if (copy == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory for %s", name);
  if (*member != key->field->default_value) free(*member);
  *member = copy;
  return RN_OK;
}

/* Parses "[5, 6, 6]", "5,6,6" or an empty list. */
static rn_status set_list(rn_err *err, const char *where, const char *name, const char *value,
                          const rn_options_key *key, ProtobufCMessage *section) {
  int32_t **list = (int32_t **)(void *)((char *)section + key->field->offset);
  size_t *count = (size_t *)(void *)((char *)section + key->field->quantifier_offset);
  int32_t *items = calloc(strlen(value) + 1, sizeof *items);
  if (items == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory for %s", name);
  size_t n = 0;
  const char *at = value + strspn(value, "[ ");
  while (*at != '\0' && *at != ']') {
    char *end;
    long item = strtol(at, &end, 10);
    const bool octal = at[0] == '0' && isdigit((unsigned char)at[1]);
    if (end == at || octal || item < INT_MIN || item > INT_MAX || n >= MAX_LIST) {
      free(items);
      return wrong(err, where, name, value, "a list of integers");
    }
    rn_status status = check_range(err, where, name, value, key->schema, (double)item);
    if (status != RN_OK) {
      free(items);
      return status;
    }
    items[n++] = (int32_t)item;
    at = end + strspn(end, ", ");
  }
  if (*at == ']' && at[1 + strspn(at + 1, " ")] != '\0') {
    free(items);
    return wrong(err, where, name, value, "a list of integers");
  }
  free(*list);
  *list = items;
  *count = n;
  return RN_OK;
}

static rn_status set_scalar(rn_err *err, const char *where, const char *name, const char *value,
                            const rn_options_key *key, void *member) {
  int64_t integer = 0;
  switch (key->field->type) {
    case PROTOBUF_C_TYPE_INT32:
      RN_TRY(err, parse_integer(err, where, name, value, key->schema, INT32_MAX, &integer));
      *(int32_t *)member = (int32_t)integer;
      return RN_OK;
    case PROTOBUF_C_TYPE_INT64:
      RN_TRY(err, parse_integer(err, where, name, value, key->schema, INT64_MAX, &integer));
      *(int64_t *)member = integer;
      return RN_OK;
    case PROTOBUF_C_TYPE_DOUBLE:
      return parse_number(err, where, name, value, key->schema, member);
    case PROTOBUF_C_TYPE_BOOL:
      return parse_bool(err, where, name, value, member);
    case PROTOBUF_C_TYPE_ENUM:
      return parse_word(err, where, name, value, key->field->descriptor, member);
    default:
      return set_string(err, where, name, value, key, member);
  }
}

rn_status rn_options_set(rn_err *err, Retnet__Config *config, const char *where, const char *name,
                         const char *value) {
  rn_options_key key;
  if (!rn_options_find(name, &key)) {
    char nearest[TEXT_BYTES];
    rn_options_nearest(name, nearest, sizeof nearest);
    return rn_fail(err, RN_ERR_USAGE, "%s: unknown key %s; did you mean %s?", where, name, nearest);
  }
  ProtobufCMessage *section = rn_options_section(config, &key);
  if (key.field->label == PROTOBUF_C_LABEL_REPEATED) {
    return set_list(err, where, name, value, &key, section);
  }
  RN_TRY(err, set_scalar(err, where, name, value, &key, rn_options_member(config, &key)));
  if (key.field->quantifier_offset != 0) {
    *(protobuf_c_boolean *)((char *)section + key.field->quantifier_offset) = 1;
  }
  return RN_OK;
}
