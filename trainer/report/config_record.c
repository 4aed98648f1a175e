#include "trainer/report/config_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "data/file/file.h"
#include "data/run/config_file.h"
#include "proto/base/arena.h"
#include "proto/options/options_guard.h"

enum { MAX_BYTES = 1 << 20, MAX_ENTRIES = 1024 };

/* The text of the file, the parsed document, and a position in the text: the character with index
 * `character` begins at byte `byte`. Positions in the document count characters, not bytes. */
typedef struct source {
  const char *text;
  size_t bytes;
  yaml_document_t document;
  size_t character, byte;
} source;

/* Returns the byte at which a character begins. Nodes are visited mostly in the order of the text,
 * so the search rarely has to restart from the beginning. */
static size_t byte_of(source *s, size_t character) {
  if (character < s->character) s->character = s->byte = 0;
  while (s->character < character && s->byte < s->bytes) {
    for (s->byte++; s->byte < s->bytes && ((unsigned char)s->text[s->byte] & 0xc0) == 0x80;)
      s->byte++;
    s->character++;
  }
  return s->byte;
}

static rn_status no_memory(rn_err *err) {
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while reading a configuration");
}

/* Records why the configuration cannot be shown: it is missing or invalid. Any other fault is an
 * error, because it does not tell what the configuration is. */
static rn_status note_fault(rn_err *err, rn_config_record *out, const rn_err *fault) {
  if (fault->status == RN_ERR_IO || fault->status == RN_ERR_MEMORY) {
    return rn_fail(err, fault->status, "%s", fault->text);
  }
  out->fault = strdup(fault->text);
  return out->fault != NULL ? RN_OK : no_memory(err);
}

/* Returns the comment that follows byte `at` on the same line, or "" if there is none. The caller
 * frees it. */
static char *comment_after(const source *s, size_t at) {
  while (at < s->bytes && (s->text[at] == ' ' || s->text[at] == '\t')) at++;
  if (at >= s->bytes || s->text[at] != '#') return strdup("");
  for (at++; at < s->bytes && s->text[at] == ' '; at++) continue;
  size_t end = at;
  while (end < s->bytes && s->text[end] != '\n' && s->text[end] != '\r') end++;
  return strndup(s->text + at, end - at);
}

static rn_status add_entry(rn_err *err, source *s, const char *section,
                           const yaml_node_pair_t *pair, rn_config_record *out) {
  const yaml_node_t *key = yaml_document_get_node(&s->document, pair->key);
  const yaml_node_t *value = yaml_document_get_node(&s->document, pair->value);
  if (key == NULL || value == NULL || key->type != YAML_SCALAR_NODE) return RN_OK;
  if (out->count == MAX_ENTRIES) return RN_OK; /* no version writes that many keys */
  rn_config_entry entry = {0};
  RN_TRY(err, rn_grow(err, "a configuration", out->count + 1, sizeof entry, &out->entry,
                      &out->capacity));
  const size_t begin = byte_of(s, value->start_mark.index);
  const size_t end = byte_of(s, value->end_mark.index);
  if (asprintf(&entry.key, "%s.%s", section, (const char *)key->data.scalar.value) < 0) {
    return no_memory(err);
  }
  entry.value = strndup(s->text + begin, end >= begin ? end - begin : 0);
  entry.origin = comment_after(s, end);
  out->entry[out->count++] = entry;
  return entry.value != NULL && entry.origin != NULL ? RN_OK : no_memory(err);
}

/* Adds the keys of all sections. A section is a mapping in the root mapping. */
static rn_status add_sections(rn_err *err, source *s, rn_config_record *out) {
  const yaml_node_t *root = yaml_document_get_root_node(&s->document);
  if (root == NULL || root->type != YAML_MAPPING_NODE) {
    rn_err fault = {0};
    rn_fail(&fault, RN_ERR_FORMAT, "the configuration has no sections");
    return note_fault(err, out, &fault);
  }
  for (const yaml_node_pair_t *p = root->data.mapping.pairs.start; p < root->data.mapping.pairs.top;
       p++) {
    const yaml_node_t *name = yaml_document_get_node(&s->document, p->key);
    const yaml_node_t *section = yaml_document_get_node(&s->document, p->value);
    if (name == NULL || section == NULL || name->type != YAML_SCALAR_NODE) continue;
    if (section->type != YAML_MAPPING_NODE) continue;
    for (const yaml_node_pair_t *k = section->data.mapping.pairs.start;
         k < section->data.mapping.pairs.top; k++) {
      RN_TRY(err, add_entry(err, s, (const char *)name->data.scalar.value, k, out));
    }
  }
  return RN_OK;
}

rn_status rn_config_record_parse(rn_err *err, const char *name, const char *text, size_t bytes,
                                 rn_config_record *out) {
  source s = {.text = text, .bytes = bytes};
  yaml_parser_t parser;
  rn_err fault = {0};
  if (rn_options_check_yaml(&fault, name, text, bytes) != RN_OK) {
    return note_fault(err, out, &fault);
  }
  if (!yaml_parser_initialize(&parser)) return no_memory(err);
  yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
  rn_status status;
  if (yaml_parser_load(&parser, &s.document)) {
    status = add_sections(err, &s, out);
    yaml_document_delete(&s.document);
  } else {
    rn_options_yaml_problem(&fault, name, &parser);
    status = note_fault(err, out, &fault);
  }
  yaml_parser_delete(&parser);
  return status;
}

rn_status rn_config_record_read(rn_err *err, const char *run_dir, rn_config_record *out) {
  const rn_path own = rn_path_join(run_dir, "config.yaml");
  const rn_path beside = rn_path_join(run_dir, "effective.yaml");
  const rn_config_file_kind kind = rn_config_file_state(err, own.text);
  bool has_beside;
  if (kind == RN_CONFIG_FILE_UNREADABLE) return err->status;
  RN_TRY(err, rn_file_find(err, beside.text, &has_beside));
  const char *path = kind != RN_CONFIG_FILE_OURS && has_beside ? beside.text : own.text;
  rn_err fault = {0};
  void *text = NULL;
  size_t bytes = 0;
  const rn_status loaded = rn_file_load(&fault, path, MAX_BYTES, &text, &bytes);
  if (loaded != RN_OK) return note_fault(err, out, &fault);
  const rn_status status = rn_config_record_parse(err, path, text, bytes, out);
  free(text);
  return status;
}

const rn_config_entry *rn_config_record_find(const rn_config_record *config, const char *key) {
  for (size_t i = 0; i < config->count; i++) {
    if (strcmp(config->entry[i].key, key) == 0) return &config->entry[i];
  }
  return NULL;
}

void rn_config_record_free(rn_config_record *config) {
  for (size_t i = 0; i < config->count; i++) {
    free(config->entry[i].key);
    free(config->entry[i].value);
    free(config->entry[i].origin);
  }
  free(config->entry);
  free(config->fault);
  *config = (rn_config_record){0};
}
