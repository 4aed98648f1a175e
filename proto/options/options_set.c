/* Parses text into a member of the message and does all checks of the schema. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/rounding.h"
#include "proto/options/options_items.h"
#include "proto/options/options_key.h"

enum { TEXT_BYTES = 512, MAX_LIST = 1024 };

/* A new value of a key, and the place where it was given. */
typedef struct setting {
  const char *where, *name, *value;
  rn_options_key key;
} setting;

static rn_status wrong(rn_err *err, const setting *s, const char *wanted) {
  return rn_fail(err, RN_ERR_USAGE, "%s: %s: \"%s\" is not %s", s->where, s->name, s->value,
                 wanted);
}

static rn_status check_range(rn_err *err, const setting *s, double number) {
  const rn_schema_key *schema = s->key.schema;
  const bool low =
      !schema->has_low || number > schema->low || (!schema->low_open && number == schema->low);
  const bool high =
      !schema->has_high || number < schema->high || (!schema->high_open && number == schema->high);
  if (low && high) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "%s: %s: %s is out of range (%s)", s->where, s->name, s->value,
                 schema->range);
}

static rn_status parse_integer(rn_err *err, const setting *s, int64_t limit, int64_t *out) {
  char *end;
  errno = 0;
  long long number = strtoll(s->value, &end, 10);
  if (end == s->value || *end != '\0' || !rn_is_decimal(s->value)) {
    return wrong(err, s, "an integer in plain decimal digits");
  }
  if (errno == ERANGE || number > limit || number < -limit) {
    return wrong(err, s, limit == INT32_MAX ? "a 32-bit integer" : "a 64-bit integer");
  }
  *out = number;
  return check_range(err, s, (double)number);
}

static rn_status parse_number(rn_err *err, const setting *s, double *out) {
  char *end;
  double number = strtod(s->value, &end);
  if (end == s->value || *end != '\0' || !isfinite(number) || !rn_is_decimal(s->value)) {
    return wrong(err, s, "a finite number in plain decimal digits");
  }
  if (rn_rounds_to_zero(s->value, number)) {
    return rn_fail(err, RN_ERR_USAGE, "%s: %s: %s is so small that it would be rounded to 0",
                   s->where, s->name, s->value);
  }
  *out = number;
  return check_range(err, s, number);
}

static rn_status parse_bool(rn_err *err, const setting *s, protobuf_c_boolean *out) {
  static const char *const words[] = {"false", "true", "False", "True", "FALSE", "TRUE"};
  for (int i = 0; i < 6; i++) {
    if (strcmp(s->value, words[i]) != 0) continue;
    *out = i % 2;
    return RN_OK;
  }
  return wrong(err, s, "true or false (yes, no, on, off, 1 and 0 are not accepted)");
}

static rn_status parse_word(rn_err *err, const setting *s, int *out) {
  const ProtobufCEnumDescriptor *type = s->key.field->descriptor;
  char words[TEXT_BYTES] = "", word[TEXT_BYTES];
  for (unsigned i = 0; i < type->n_values; i++) {
    rn_options_enum_name(type, (int)i, word, sizeof word);
    if (strcmp(word, s->value) == 0) {
      *out = type->values[i].value;
      return RN_OK;
    }
    strncat(words, i > 0 ? "|" : "one of ", sizeof words - strlen(words) - 1);
    strncat(words, word, sizeof words - strlen(words) - 1);
  }
  return wrong(err, s, words);
}

/* Parses a list of mappings and writes it in the form of rn_options_items_text. */
static rn_status format_list(rn_err *err, const setting *s, char *text, size_t bytes) {
  char where[TEXT_BYTES];
  rn_options_items items;
  snprintf(where, sizeof where, "%s: %s", s->where, s->name);
  rn_status status = rn_options_items_parse(err, where, s->key.schema->items, s->value, &items);
  if (status == RN_OK && !rn_options_items_text(&items, text, bytes)) {
    status = rn_fail(err, RN_ERR_USAGE, "%s: the list has more than %zu bytes", where, bytes - 1);
  }
  rn_options_items_free(&items);
  return status;
}

static const char *skip_spaces(const char *text) {
  return text + strspn(text, " ");
}

static rn_status set_copy(rn_err *err, const setting *s, const char *value, char **member) {
  char *copy = strdup(value);
  if (copy == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while setting %s", s->name);
  if (*member != s->key.field->default_value) free(*member);
  *member = copy;
  return RN_OK;
}

static rn_status set_string(rn_err *err, const setting *s, char **member) {
  char list[RN_OPTIONS_STRING_BYTES];
  if (!rn_options_is_text(s->value)) {
    return rn_fail(err, RN_ERR_USAGE, "%s: %s: the value is not UTF-8, or has %d bytes or more",
                   s->where, s->name, RN_OPTIONS_STRING_BYTES);
  }
  /* Rejects a leading ~ that no shell has expanded, because it would create a folder named "~". */
  if (s->value[0] == '~' && (s->value[1] == '\0' || s->value[1] == '/')) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "%s: %s: the shell has not expanded the ~ in %s: write the whole path, or ./%s for a file "
        "of that name",
        s->where, s->name, s->value, s->value);
  }
  if (s->key.schema->items[0] != '\0' && *skip_spaces(s->value) == '{') {
    return wrong(err, s, "a path or a list of mappings");
  }
  if (s->key.schema->items[0] == '\0' || !rn_options_is_list(s->value)) {
    return set_copy(err, s, s->value, member);
  }
  RN_TRY(err, format_list(err, s, list, sizeof list));
  return set_copy(err, s, list, member);
}

static rn_status parse_item(rn_err *err, const setting *s, const char **at, int32_t *out) {
  char *end;
  const long item = strtol(*at, &end, 10);
  const bool octal = (*at)[0] == '0' && isdigit((unsigned char)(*at)[1]);
  if (end == *at || octal || item < INT_MIN || item > INT_MAX) {
    return wrong(err, s, "a list of integers");
  }
  *out = (int32_t)item;
  *at = skip_spaces(end);
  return check_range(err, s, (double)item);
}

/*
 * Parses "[5, 6, 6]", "5,6,6" or an empty list into items; items are separated by commas, and a
 * comma may follow the last item. An opening bracket needs a closing one, with nothing after it.
 */
static rn_status parse_list(rn_err *err, const setting *s, int32_t *items, size_t *count) {
  const char *at = skip_spaces(s->value);
  const bool open = *at == '[';
  if (open) at = skip_spaces(at + 1);
  *count = 0;
  while (*at != '\0' && *at != ']') {
    if (*count == MAX_LIST) return wrong(err, s, "a list of at most 1024 numbers");
    RN_TRY(err, parse_item(err, s, &at, &items[*count]));
    (*count)++;
    if (*at == ',') {
      at = skip_spaces(at + 1);
    } else if (*at != '\0' && *at != ']') {
      return wrong(err, s, "a list of integers with commas between them");
    }
  }
  if ((*at == ']') != open) return wrong(err, s, "a list with matching brackets");
  if (open && *skip_spaces(at + 1) != '\0') return wrong(err, s, "a list of integers");
  return RN_OK;
}

static rn_status set_list(rn_err *err, const setting *s, ProtobufCMessage *section) {
  int32_t **list = (int32_t **)(void *)((char *)section + s->key.field->offset);
  size_t *count = (size_t *)(void *)((char *)section + s->key.field->quantifier_offset);
  size_t n = 0;
  int32_t *items = calloc(strlen(s->value) + 1, sizeof *items);
  if (items == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while setting %s", s->name);
  const rn_status status = parse_list(err, s, items, &n);
  if (status != RN_OK) {
    free(items);
    return status;
  }
  free(*list);
  *list = items;
  *count = n;
  return RN_OK;
}

static rn_status set_scalar(rn_err *err, const setting *s, void *member) {
  int64_t integer = 0;
  switch (s->key.field->type) {
    case PROTOBUF_C_TYPE_INT32:
      RN_TRY(err, parse_integer(err, s, INT32_MAX, &integer));
      *(int32_t *)member = (int32_t)integer;
      return RN_OK;
    case PROTOBUF_C_TYPE_INT64:
      RN_TRY(err, parse_integer(err, s, INT64_MAX, &integer));
      *(int64_t *)member = integer;
      return RN_OK;
    case PROTOBUF_C_TYPE_DOUBLE:
      return parse_number(err, s, member);
    case PROTOBUF_C_TYPE_BOOL:
      return parse_bool(err, s, member);
    case PROTOBUF_C_TYPE_ENUM:
      return parse_word(err, s, member);
    default:
      return set_string(err, s, member);
  }
}

rn_status rn_options_set(rn_err *err, Retnet__Config *config, const char *where, const char *name,
                         const char *value) {
  setting s = {.where = where, .name = name, .value = value};
  if (!rn_options_find(name, &s.key)) {
    char nearest[TEXT_BYTES];
    rn_options_nearest(name, nearest, sizeof nearest);
    return rn_fail(err, RN_ERR_USAGE, "%s: unknown key %s; did you mean %s?", where, name, nearest);
  }
  ProtobufCMessage *section = rn_options_section(config, &s.key);
  if (s.key.field->label == PROTOBUF_C_LABEL_REPEATED) return set_list(err, &s, section);
  RN_TRY(err, set_scalar(err, &s, rn_options_member(config, &s.key)));
  if (s.key.field->quantifier_offset != 0) {
    *(protobuf_c_boolean *)((char *)section + s.key.field->quantifier_offset) = 1;
  }
  return RN_OK;
}
