#include "proto/options/options_key.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "proto/options/nearest.h"

static void full_name(const rn_schema_key *key, char name[RN_OPTIONS_NAME_BYTES]) {
  snprintf(name, RN_OPTIONS_NAME_BYTES, "%s.%s", key->section, key->name);
}

bool rn_options_find(const char *name, rn_options_key *out) {
  char candidate[RN_OPTIONS_NAME_BYTES];
  for (const rn_schema_key *key = rn_schema_table; key->name != NULL; key++) {
    full_name(key, candidate);
    if (strcmp(name, candidate) != 0) continue;
    out->schema = key;
    out->section =
        protobuf_c_message_descriptor_get_field_by_name(&retnet__config__descriptor, key->section);
    out->field =
        protobuf_c_message_descriptor_get_field_by_name(out->section->descriptor, key->name);
    return true;
  }
  return false;
}

bool rn_options_find_row(const rn_schema_key *row, char name[RN_OPTIONS_NAME_BYTES],
                         rn_options_key *out) {
  full_name(row, name);
  return rn_options_find(name, out);
}

void rn_options_each(void (*visit)(void *self, const char *key), void *self) {
  char name[RN_OPTIONS_NAME_BYTES];
  rn_options_key key;
  for (const rn_schema_key *row = rn_schema_table; row->name != NULL; row++) {
    if (rn_options_find_row(row, name, &key)) visit(self, name);
  }
}

int rn_options_index(const rn_options_key *key) {
  const int index = (int)(key->schema - rn_schema_table);
  assert(0 <= index && index < RN_OPTIONS_MAX_KEYS);
  return index;
}

int rn_options_key_index(const char *name) {
  rn_options_key key;
  return rn_options_find(name, &key) ? rn_options_index(&key) : -1;
}

/* Returns the distance between `name` and a key: the smaller of the distance of the full names and
 * that of the names without section plus 2. A key in the same section that differs in one letter is
 * thus nearer than the same name in another section. */
static int distance(const char *name, const rn_schema_key *key, const char *full) {
  const char *dot = strchr(name, '.'), *own = dot != NULL ? dot + 1 : name;
  const int whole = rn_nearest_distance(name, full),
            alone = rn_nearest_distance(own, key->name) + 2;
  return whole < alone ? whole : alone;
}

void rn_options_nearest_section(const char *name, char *nearest, size_t bytes) {
  int best = -1;
  for (unsigned i = 0; i < retnet__config__descriptor.n_fields; i++) {
    const char *section = retnet__config__descriptor.fields[i].name;
    const int d = rn_nearest_distance(name, section);
    if (best >= 0 && d >= best) continue;
    best = d;
    snprintf(nearest, bytes, "%s", section);
  }
}

void rn_options_nearest(const char *name, char *nearest, size_t bytes) {
  char candidate[RN_OPTIONS_NAME_BYTES];
  int best = -1;
  for (const rn_schema_key *key = rn_schema_table; key->name != NULL; key++) {
    full_name(key, candidate);
    const int d = distance(name, key, candidate);
    if (best >= 0 && d >= best) continue;
    best = d;
    snprintf(nearest, bytes, "%s", candidate);
  }
}

ProtobufCMessage *rn_options_section(const Retnet__Config *config, const rn_options_key *key) {
  ProtobufCMessage *section;
  memcpy(&section, (const char *)config + key->section->offset, sizeof section);
  return section;
}

void *rn_options_member(const Retnet__Config *config, const rn_options_key *key) {
  return (char *)rn_options_section(config, key) + key->field->offset;
}

/* Returns the length of the prefix of an enum's values. The prefix is the name of the type in upper
 * case, with '_' between words and at the end. */
static size_t prefix_length(const ProtobufCEnumDescriptor *type) {
  size_t length = 0;
  for (const char *c = type->short_name; *c != '\0'; c++) {
    length += 1 + (c != type->short_name && isupper((unsigned char)*c));
  }
  return length + 1;
}

void rn_options_enum_name(const ProtobufCEnumDescriptor *type, int index, char *word,
                          size_t bytes) {
  const char *name = type->values[index].name;
  const size_t skip = prefix_length(type);
  snprintf(word, bytes, "%s", strlen(name) > skip ? name + skip : name);
  for (char *c = word; *c != '\0'; c++) *c = (char)tolower((unsigned char)*c);
}

void rn_options_double_text(double number, char *text, size_t bytes) {
  if (fabs(number) < 1e6 && number == nearbyint(number)) {
    snprintf(text, bytes, "%.0f", number);
    return;
  }
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, bytes, "%.*g", digits, number);
    double back;
    if (sscanf(text, "%lf", &back) == 1 && back == number) return;
  }
}
