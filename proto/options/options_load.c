/* Loads the YAML file (sections of key: value lines) and the overrides of the command line. */
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "proto/base/arena.h"
#include "proto/options/options_guard.h"
#include "proto/options/options_key.h"
#include "proto/options/options_yaml_items.h"

enum { PLACE_BYTES = 512, NAME_BYTES = 256, MAX_KEYS = 256, MAX_ITEMS = 1024 };

/* The YAML document, and the keys that have been set from it so far. */
typedef struct yaml_reader {
  yaml_document_t *document;
  const char *path;
  Retnet__Config *config;
  rn_options_locations *locations;
  char given[MAX_KEYS][NAME_BYTES];
  int given_count;
} yaml_reader;

static void place_of(const yaml_reader *reader, const yaml_node_t *node, char place[PLACE_BYTES]) {
  snprintf(place, PLACE_BYTES, "%s:%zu", reader->path, node->start_mark.line + 1);
}

static rn_status note_key(rn_err *err, yaml_reader *reader, const char *place, const char *name) {
  for (int i = 0; i < reader->given_count; i++) {
    if (strcmp(reader->given[i], name) != 0) continue;
    return rn_fail(err, RN_ERR_USAGE, "%s: %s is given twice", place, name);
  }
  if (reader->given_count == MAX_KEYS) {
    return rn_fail(err, RN_ERR_USAGE, "%s: too many keys", place);
  }
  snprintf(reader->given[reader->given_count++], NAME_BYTES, "%s", name);
  return RN_OK;
}

static bool is_text(const yaml_node_t *node) {
  return node != NULL && node->type == YAML_SCALAR_NODE &&
         strlen((const char *)node->data.scalar.value) == node->data.scalar.length;
}

/* True if the value is an unquoted null or ~, or if there is none. The key or section is then
 * absent. */
static bool is_null(const yaml_node_t *node) {
  static const char *const words[] = {"", "~", "null", "Null", "NULL"};
  if (!is_text(node) || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return false;
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (strcmp((const char *)node->data.scalar.value, words[i]) == 0) return true;
  }
  return false;
}

static rn_status refuse_merge(rn_err *err, const char *place, const yaml_node_t *key) {
  if (strcmp((const char *)key->data.scalar.value, "<<") != 0) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "%s: merge keys (<<) are not supported: write the keys out",
                 place);
}

/* Converts a list of numbers to the text that rn_options_set expects. */
static rn_status list_text(rn_err *err, yaml_reader *reader, const char *place,
                           const yaml_node_t *node, char **out) {
  const yaml_node_item_t *begin = node->data.sequence.items.start;
  const yaml_node_item_t *end = node->data.sequence.items.top;
  enum { ITEM_BYTES = 24 };
  if (end - begin > MAX_ITEMS) {
    return rn_fail(err, RN_ERR_USAGE, "%s: the list has more than %d numbers", place, MAX_ITEMS);
  }
  char *text;
  RN_TRY(err, rn_alloc(err, "list", (size_t)(end - begin) + 1, ITEM_BYTES, &text));
  for (const yaml_node_item_t *item = begin; item != end; item++) {
    const yaml_node_t *value = yaml_document_get_node(reader->document, *item);
    if (!is_text(value) || value->data.scalar.length > ITEM_BYTES - 2) {
      free(text);
      return rn_fail(err, RN_ERR_USAGE, "%s: the list may only contain integers", place);
    }
    strcat(strcat(text, (const char *)value->data.scalar.value), ",");
  }
  *out = text;
  return RN_OK;
}

/* Sets the key from a list of mappings. */
static rn_status set_items(rn_err *err, yaml_reader *reader, const char *place,
                           const rn_options_key *key, const yaml_node_t *value) {
  char where[PLACE_BYTES + NAME_BYTES + 2], name[NAME_BYTES], text[RN_OPTIONS_STRING_BYTES];
  rn_options_items items = {0};
  snprintf(name, sizeof name, "%s.%s", key->schema->section, key->schema->name);
  snprintf(where, sizeof where, "%s: %s", place, name);
  rn_status status =
      rn_options_yaml_items(err, where, key->schema->items, reader->document, value, &items);
  if (status == RN_OK && !rn_options_items_text(&items, text, sizeof text)) {
    status = rn_fail(err, RN_ERR_USAGE, "%s: the list has %zu bytes or more", where, sizeof text);
  }
  if (status == RN_OK) status = rn_options_set(err, reader->config, place, name, text);
  rn_options_items_free(&items);
  return status;
}

/* Sets the key from a YAML value: a scalar, or a sequence if the key is a list. */
static rn_status set_from(rn_err *err, yaml_reader *reader, const char *place,
                          const rn_options_key *key, const yaml_node_t *value) {
  const bool is_list = key->field->label == PROTOBUF_C_LABEL_REPEATED;
  const bool is_sequence = value != NULL && value->type == YAML_SEQUENCE_NODE;
  char name[NAME_BYTES];
  snprintf(name, sizeof name, "%s.%s", key->schema->section, key->schema->name);
  if (is_sequence && key->schema->items[0] != '\0') {
    return set_items(err, reader, place, key, value);
  }
  if (is_list && is_sequence) {
    char *text = NULL;
    RN_TRY(err, list_text(err, reader, place, value, &text));
    rn_status status = rn_options_set(err, reader->config, place, name, text);
    free(text);
    return status;
  }
  if (!is_text(value)) {
    return rn_fail(err, RN_ERR_USAGE, "%s: %s: must be a %s", place, name,
                   key->schema->items[0] != '\0' ? "path or a list of mappings" : "single value");
  }
  return rn_options_set(err, reader->config, place, name, (const char *)value->data.scalar.value);
}

static rn_status read_key(rn_err *err, yaml_reader *reader, const char *section,
                          const yaml_node_t *key, const yaml_node_t *value) {
  char place[PLACE_BYTES], name[NAME_BYTES];
  place_of(reader, key, place);
  if (!is_text(key)) return rn_fail(err, RN_ERR_USAGE, "%s: expected a key", place);
  RN_TRY(err, refuse_merge(err, place, key));
  snprintf(name, sizeof name, "%s.%s", section, (const char *)key->data.scalar.value);
  RN_TRY(err, note_key(err, reader, place, name));
  rn_options_key found;
  if (!rn_options_find(name, &found)) {
    return rn_options_set(err, reader->config, place, name, "");
  }
  if (is_null(value)) return RN_OK;
  RN_TRY(err, set_from(err, reader, place, &found, value));
  reader->locations->line[rn_options_index(&found)] = (int)key->start_mark.line + 1;
  return RN_OK;
}

static rn_status read_section(rn_err *err, yaml_reader *reader, const yaml_node_t *key,
                              const yaml_node_t *body) {
  char place[PLACE_BYTES], nearest[NAME_BYTES];
  place_of(reader, key, place);
  if (!is_text(key)) return rn_fail(err, RN_ERR_USAGE, "%s: expected a section", place);
  RN_TRY(err, refuse_merge(err, place, key));
  const char *section = (const char *)key->data.scalar.value;
  if (protobuf_c_message_descriptor_get_field_by_name(&retnet__config__descriptor, section) ==
      NULL) {
    if (body != NULL && body->type == YAML_MAPPING_NODE) {
      rn_options_nearest_section(section, nearest, sizeof nearest);
    } else {
      /* There is a value instead of a mapping, so `section` may be a key that was written without
       * its section. */
      rn_options_nearest(section, nearest, sizeof nearest);
    }
    return rn_fail(err, RN_ERR_USAGE, "%s: unknown section %s; did you mean %s?", place, section,
                   nearest);
  }
  RN_TRY(err, note_key(err, reader, place, section));
  if (is_null(body)) return RN_OK;
  if (body == NULL || body->type != YAML_MAPPING_NODE) {
    return rn_fail(err, RN_ERR_USAGE, "%s: section %s must contain lines of the form key: value",
                   place, section);
  }
  for (const yaml_node_pair_t *pair = body->data.mapping.pairs.start;
       pair != body->data.mapping.pairs.top; pair++) {
    RN_TRY(err, read_key(err, reader, section, yaml_document_get_node(reader->document, pair->key),
                         yaml_document_get_node(reader->document, pair->value)));
  }
  return RN_OK;
}

static rn_status read_document(rn_err *err, yaml_reader *reader) {
  const yaml_node_t *root = yaml_document_get_root_node(reader->document);
  if (root == NULL || is_null(root)) return RN_OK;
  if (root->type != YAML_MAPPING_NODE) {
    return rn_fail(err, RN_ERR_USAGE, "%s: expected sections, as in \"model: {dim: 256}\"",
                   reader->path);
  }
  for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
       pair != root->data.mapping.pairs.top; pair++) {
    RN_TRY(err, read_section(err, reader, yaml_document_get_node(reader->document, pair->key),
                             yaml_document_get_node(reader->document, pair->value)));
  }
  return RN_OK;
}

static rn_status read_yaml(rn_err *err, const rn_options_input *input,
                           rn_options_locations *locations, Retnet__Config *config) {
  yaml_parser_t parser;
  yaml_document_t document;
  yaml_reader *reader;
  RN_TRY(err, rn_alloc(err, "configuration", 1, sizeof *reader, &reader));
  rn_status status = RN_OK;
  if (!yaml_parser_initialize(&parser)) {
    free(reader);
    return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory while reading it", input->name);
  }
  yaml_parser_set_input_string(&parser, (const unsigned char *)input->text, input->bytes);
  if (yaml_parser_load(&parser, &document)) {
    *reader = (yaml_reader){
        .document = &document, .path = input->name, .config = config, .locations = locations};
    status = read_document(err, reader);
    yaml_document_delete(&document);
  } else {
    status = rn_options_yaml_problem(err, input->name, &parser);
  }
  yaml_parser_delete(&parser);
  free(reader);
  return status;
}

static rn_status apply_override(rn_err *err, Retnet__Config *config, const char *text,
                                rn_options_locations *locations) {
  char name[NAME_BYTES];
  rn_options_key key;
  const char *equals = strchr(text, '=');
  if (equals == NULL || equals - text >= NAME_BYTES) {
    return rn_fail(err, RN_ERR_USAGE, "-s %s: expected section.key=value", text);
  }
  snprintf(name, sizeof name, "%.*s", (int)(equals - text), text);
  if (strcmp(equals + 1, "null") == 0) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "-s %s=null: null is not a value; omit this -s, or write ./null for a file of that name",
        name);
  }
  RN_TRY(err, rn_options_set(err, config, "-s", name, equals + 1));
  if (rn_options_find(name, &key)) locations->line[rn_options_index(&key)] = RN_OPTIONS_BY_S;
  return RN_OK;
}

rn_status rn_options_load_text(rn_err *err, const rn_options_input *input,
                               rn_options_locations *locations, Retnet__Config **out) {
  rn_options_locations unused;
  if (locations == NULL) locations = &unused;
  *locations = (rn_options_locations){.file = input->name};
  RN_TRY(err, rn_options_create(err, out));
  rn_status status = RN_OK;
  if (input->text != NULL) {
    status = rn_options_check_yaml(err, input->name, input->text, input->bytes);
    if (status == RN_OK) status = read_yaml(err, input, locations, *out);
  }
  for (int i = 0; status == RN_OK && i < input->count; i++) {
    status = apply_override(err, *out, input->overrides[i], locations);
  }
  if (status != RN_OK) rn_options_free(out);
  return status;
}

rn_status rn_options_load(rn_err *err, const char *path, const char *const *overrides, int count,
                          Retnet__Config **out) {
  rn_options_input input = {.name = path, .overrides = overrides, .count = count};
  char *text = NULL;
  if (path != NULL) RN_TRY(err, rn_options_read(err, path, &text, &input.bytes));
  input.text = text;
  rn_status status = rn_options_load_text(err, &input, NULL, out);
  free(text);
  return status;
}
