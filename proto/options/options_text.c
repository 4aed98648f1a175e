/* Formats configurations as text: single values, YAML, and help. */
#include <assert.h>
#include <string.h>

#include "proto/base/wrap.h"
#include "proto/options/options_items.h"
#include "proto/options/options_key.h"

enum { NOTE_BYTES = 512, DOC_MARGIN = 6 };

bool rn_options_given(const Retnet__Config *config, const char *name) {
  rn_options_key key;
  if (!rn_options_find(name, &key)) return false;
  const char *section = (const char *)rn_options_section(config, &key);
  if (key.field->label == PROTOBUF_C_LABEL_REPEATED) {
    return *(const size_t *)(const void *)(section + key.field->quantifier_offset) > 0;
  }
  if (key.field->type == PROTOBUF_C_TYPE_STRING) {
    const char *text;
    memcpy(&text, section + key.field->offset, sizeof text);
    return text != NULL && text != key.field->default_value;
  }
  return *(const protobuf_c_boolean *)(section + key.field->quantifier_offset);
}

static void list_text(const char *section, const ProtobufCFieldDescriptor *field, char *text,
                      size_t bytes) {
  const int32_t *items;
  memcpy(&items, section + field->offset, sizeof items);
  const size_t count = *(const size_t *)(const void *)(section + field->quantifier_offset);
  size_t used = (size_t)snprintf(text, bytes, "[");
  for (size_t i = 0; i < count && used + 16 < bytes; i++) {
    used += (size_t)snprintf(text + used, bytes - used, i > 0 ? ", %d" : "%d", items[i]);
  }
  snprintf(text + used, bytes - used, "]");
}

/* A value without a word, as in a checkpoint of a later version, is written as a number. */
static void word_text(const ProtobufCFieldDescriptor *field, int value, char *text, size_t bytes) {
  const ProtobufCEnumDescriptor *type = field->descriptor;
  snprintf(text, bytes, "%d", value);
  for (unsigned i = 0; i < type->n_values; i++) {
    if (type->values[i].value == value) rn_options_enum_name(type, (int)i, text, bytes);
  }
}

bool rn_options_text(const Retnet__Config *config, const char *name, char *text, size_t bytes) {
  rn_options_key key;
  if (!rn_options_find(name, &key)) return false;
  const void *member = rn_options_member(config, &key);
  if (key.field->label == PROTOBUF_C_LABEL_REPEATED) {
    list_text((const char *)rn_options_section(config, &key), key.field, text, bytes);
    return true;
  }
  switch (key.field->type) {
    case PROTOBUF_C_TYPE_INT32:
      snprintf(text, bytes, "%d", *(const int32_t *)member);
      break;
    case PROTOBUF_C_TYPE_INT64:
      snprintf(text, bytes, "%lld", (long long)*(const int64_t *)member);
      break;
    case PROTOBUF_C_TYPE_DOUBLE:
      rn_options_double_text(*(const double *)member, text, bytes);
      break;
    case PROTOBUF_C_TYPE_BOOL:
      snprintf(text, bytes, "%s", *(const protobuf_c_boolean *)member ? "true" : "false");
      break;
    case PROTOBUF_C_TYPE_ENUM:
      word_text(key.field, *(const int *)member, text, bytes);
      break;
    default:
      if (key.schema->items[0] != '\0' && rn_options_is_list(*(char *const *)member)) {
        snprintf(text, bytes, "%s", *(char *const *)member);
      } else {
        rn_options_quote(*(char *const *)member, text, bytes);
      }
  }
  return true;
}

void rn_options_write_yaml(const Retnet__Config *config, FILE *file) {
  rn_options_write_yaml_noted(config, NULL, NULL, file);
}

void rn_options_write_yaml_noted(const Retnet__Config *config, rn_options_note *note,
                                 const void *self, FILE *file) {
  const char *section = "";
  char name[RN_OPTIONS_NAME_BYTES], text[RN_OPTIONS_TEXT_BYTES], comment[NOTE_BYTES];
  for (const rn_schema_key *schema = rn_schema_table; schema->name != NULL; schema++) {
    rn_options_key key;
    if (!rn_options_find_row(schema, name, &key)) continue;
    if (strcmp(section, schema->section) != 0) fprintf(file, "%s:\n", schema->section);
    section = schema->section;
    if (key.field->type == PROTOBUF_C_TYPE_STRING &&
        *(char *const *)rn_options_member(config, &key) == NULL) {
      continue;
    }
    rn_options_text(config, name, text, sizeof text);
    comment[0] = '\0';
    if (note != NULL) note(self, name, comment, sizeof comment);
    fprintf(file, "  %s: %s", schema->name, text);
    if (comment[0] != '\0') fprintf(file, "  # %s", comment);
    fputc('\n', file);
  }
}

rn_status rn_options_require(rn_err *err, const Retnet__Config *config, const char *name) {
  if (rn_options_given(config, name)) {
    rn_options_key key;
    const char *text = "";
    if (rn_options_find(name, &key)) memcpy(&text, rn_options_member(config, &key), sizeof text);
    if (text[0] != '\0') return RN_OK;
    return rn_fail(err, RN_ERR_USAGE, "%s is empty: give a path (is a shell variable unset?)",
                   name);
  }
  return rn_fail(err, RN_ERR_USAGE, "%s is not set: set it in the file or with -s %s=...", name,
                 name);
}

/* Writes the allowed values of a key for the help: the words of an enum, a range, or the fields of
 * a list. */
static void domain_text(const rn_schema_key *schema, const ProtobufCFieldDescriptor *field,
                        char *text, size_t bytes) {
  char word[RN_OPTIONS_NAME_BYTES];
  size_t used = 0;
  if (schema->items[0] != '\0') {
    snprintf(text, bytes, "or a list of items with the fields: %s", schema->items);
    return;
  }
  if (field->type != PROTOBUF_C_TYPE_ENUM) {
    snprintf(text, bytes, "%s", schema->range);
    return;
  }
  const ProtobufCEnumDescriptor *type = field->descriptor;
  assert(type->n_values > 0);
  for (unsigned i = 0; i < type->n_values && used < bytes; i++) {
    rn_options_enum_name(type, (int)i, word, sizeof word);
    used += (size_t)snprintf(text + used, bytes - used, "%s%s", i > 0 ? "|" : "", word);
  }
}

typedef union any_section {
  ProtobufCMessage message;
  Retnet__Run run;
  Retnet__Model model;
  Retnet__Data data;
  Retnet__Parallel parallel;
  Retnet__Optimizer optimizer;
  Retnet__Train train;
  Retnet__Checkpoint checkpoint;
} any_section;

/* Writes the default of a key. Allocates no memory, so that the help is always complete. */
static void default_text(const char *name, const rn_options_key *key, char *text, size_t bytes) {
  Retnet__Config defaults = RETNET__CONFIG__INIT;
  const ProtobufCMessageDescriptor *type = key->section->descriptor;
  any_section section;
  ProtobufCMessage *const message = &section.message;
  assert(type->sizeof_message <= sizeof section);
  protobuf_c_message_init(type, message);
  memcpy((char *)&defaults + key->section->offset, &message, sizeof message);
  rn_options_text(&defaults, name, text, bytes);
}

void rn_options_each_help(void (*visit)(void *self, const rn_options_help *help), void *self) {
  char name[RN_OPTIONS_NAME_BYTES], text[RN_OPTIONS_TEXT_BYTES], domain[NOTE_BYTES];
  for (const rn_schema_key *schema = rn_schema_table; schema->name != NULL; schema++) {
    rn_options_key key;
    if (!rn_options_find_row(schema, name, &key)) continue;
    default_text(name, &key, text, sizeof text);
    domain_text(schema, key.field, domain, sizeof domain);
    visit(self, &(rn_options_help){schema->section, schema->name, text, domain, schema->doc});
  }
}

/* The file to which the help is printed, and the section of the previous key. */
typedef struct help_printer {
  FILE *file;
  char section[RN_OPTIONS_NAME_BYTES];
} help_printer;

static void print_key(void *self, const rn_options_help *help) {
  help_printer *p = self;
  if (strcmp(p->section, help->section) != 0) fprintf(p->file, "\n%s:\n", help->section);
  snprintf(p->section, sizeof p->section, "%s", help->section);
  fprintf(p->file, "  %-20s %s", help->name, help->value);
  if (help->domain[0] != '\0') fprintf(p->file, "  (%s)", help->domain);
  fputc('\n', p->file);
  rn_wrap_print(p->file, help->doc, 0, DOC_MARGIN);
}

void rn_options_print_help(FILE *file) {
  help_printer p = {file, ""};
  rn_options_each_help(print_key, &p);
}
