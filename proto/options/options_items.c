#include "proto/options/options_items.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/rounding.h"
#include "proto/options/options_guard.h"
#include "proto/options/options_key.h"
#include "proto/options/options_yaml_items.h"

/* The list being read. */
typedef struct reader {
  const char *where, *fields;
  yaml_document_t *document;
  rn_options_items *out;
} reader;

bool rn_options_is_list(const char *value) {
  return value != NULL && value[strspn(value, " ")] == '[';
}

static rn_status no_memory(rn_err *err, const char *where) {
  return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", where);
}

/* ---- one item ---- */

/* True if `name` is one of the words in `fields`. */
static bool is_field(const char *fields, const char *name) {
  const size_t length = strlen(name);
  for (const char *at = fields; length > 0 && (at = strstr(at, name)) != NULL; at += length) {
    const bool begins = at == fields || at[-1] == ' ';
    if (begins && (at[length] == ' ' || at[length] == '\0')) return true;
  }
  return false;
}

static rn_status set_weight(rn_err *err, const reader *r, const char *value,
                            rn_options_item *item) {
  char *end;
  item->weight = strtod(value, &end);
  const bool is_number = end != value && *end == '\0' && rn_is_decimal(value);
  if (is_number && isfinite(item->weight) && item->weight > 0) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "%s: item %d: weight: \"%s\" is not a decimal number above 0",
                 r->where, r->out->count, value);
}

static rn_status set_text(rn_err *err, const reader *r, const char *value, char **member) {
  if (value[0] == '~' && (value[1] == '\0' || value[1] == '/')) {
    return rn_fail(err, RN_ERR_USAGE,
                   "%s: item %d: the shell has not expanded the ~ in %s: write the whole path",
                   r->where, r->out->count, value);
  }
  if (value[0] == '\0' || !rn_options_is_text(value)) {
    return rn_fail(err, RN_ERR_USAGE, "%s: item %d: \"%s\" is %s", r->where, r->out->count, value,
                   value[0] == '\0' ? "empty" : "not UTF-8 or too long");
  }
  free(*member);
  *member = strdup(value);
  return *member != NULL ? RN_OK : no_memory(err, r->where);
}

static bool is_text(const yaml_node_t *node) {
  return node != NULL && node->type == YAML_SCALAR_NODE &&
         strlen((const char *)node->data.scalar.value) == node->data.scalar.length;
}

static rn_status set_field(rn_err *err, const reader *r, const yaml_node_pair_t *pair,
                           rn_options_item *item) {
  const yaml_node_t *key = yaml_document_get_node(r->document, pair->key);
  const yaml_node_t *value = yaml_document_get_node(r->document, pair->value);
  const char *name = is_text(key) ? (const char *)key->data.scalar.value : "";
  if (!is_field(r->fields, name)) {
    return rn_fail(err, RN_ERR_USAGE, "%s: item %d: unknown field \"%s\"; the fields are: %s",
                   r->where, r->out->count, name, r->fields);
  }
  if (!is_text(value)) {
    return rn_fail(err, RN_ERR_USAGE, "%s: item %d: %s must be a single value", r->where,
                   r->out->count, name);
  }
  const char *text = (const char *)value->data.scalar.value;
  if (strcmp(name, "weight") == 0) return set_weight(err, r, text, item);
  return set_text(err, r, text, strcmp(name, "name") == 0 ? &item->name : &item->dir);
}

/* Fails if the key of a pair was given before in the same item. */
static rn_status check_once(rn_err *err, const reader *r, const yaml_node_t *node,
                            const yaml_node_pair_t *pair) {
  const yaml_node_t *key = yaml_document_get_node(r->document, pair->key);
  for (const yaml_node_pair_t *at = node->data.mapping.pairs.start; is_text(key) && at != pair;
       at++) {
    const char *name = (const char *)key->data.scalar.value;
    const yaml_node_t *other = yaml_document_get_node(r->document, at->key);
    if (!is_text(other) || strcmp((const char *)other->data.scalar.value, name) != 0) continue;
    return rn_fail(err, RN_ERR_USAGE, "%s: item %d: %s is given twice", r->where, r->out->count,
                   name);
  }
  return RN_OK;
}

static rn_status add_item(rn_err *err, reader *r, const yaml_node_t *node) {
  rn_options_item *item = &r->out->item[r->out->count++];
  item->weight = 1;
  if (node == NULL || node->type != YAML_MAPPING_NODE) {
    return rn_fail(err, RN_ERR_USAGE, "%s: item %d is not a mapping with the fields: %s", r->where,
                   r->out->count, r->fields);
  }
  for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
       pair != node->data.mapping.pairs.top; pair++) {
    RN_TRY(err, check_once(err, r, node, pair));
    RN_TRY(err, set_field(err, r, pair, item));
  }
  const bool unnamed = is_field(r->fields, "name") && item->name == NULL;
  if (item->dir != NULL && !unnamed) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "%s: item %d has no %s", r->where, r->out->count,
                 unnamed ? "name" : "dir");
}

/* ---- lists ---- */

rn_status rn_options_yaml_items(rn_err *err, const char *where, const char *fields,
                                yaml_document_t *document, const yaml_node_t *list,
                                rn_options_items *out) {
  reader r = {where, fields, document, out};
  const yaml_node_item_t *begin = list->data.sequence.items.start;
  const yaml_node_item_t *end = list->data.sequence.items.top;
  if (end == begin || end - begin > RN_OPTIONS_MAX_ITEMS) {
    return rn_fail(err, RN_ERR_USAGE, "%s: a list must have 1 to %d items", where,
                   RN_OPTIONS_MAX_ITEMS);
  }
  RN_TRY(err, rn_alloc(err, "list", (size_t)(end - begin), sizeof *out->item, &out->item));
  for (const yaml_node_item_t *at = begin; at != end; at++) {
    RN_TRY(err, add_item(err, &r, yaml_document_get_node(document, *at)));
  }
  return RN_OK;
}

static rn_status parse_document(rn_err *err, const char *where, const char *fields,
                                yaml_document_t *document, rn_options_items *out) {
  const yaml_node_t *root = yaml_document_get_root_node(document);
  if (root == NULL || root->type != YAML_SEQUENCE_NODE) {
    return rn_fail(err, RN_ERR_USAGE, "%s: the value is not a list", where);
  }
  return rn_options_yaml_items(err, where, fields, document, root, out);
}

static rn_status parse_list(rn_err *err, const char *where, const char *fields, const char *value,
                            rn_options_items *out) {
  yaml_parser_t parser;
  yaml_document_t document;
  rn_status status;
  RN_TRY(err, rn_options_check_yaml(err, where, value, strlen(value)));
  if (!yaml_parser_initialize(&parser)) return no_memory(err, where);
  yaml_parser_set_input_string(&parser, (const unsigned char *)value, strlen(value));
  if (yaml_parser_load(&parser, &document)) {
    status = parse_document(err, where, fields, &document, out);
    yaml_document_delete(&document);
  } else {
    status = rn_options_yaml_problem(err, where, &parser);
  }
  yaml_parser_delete(&parser);
  return status;
}

rn_status rn_options_items_parse(rn_err *err, const char *where, const char *fields,
                                 const char *value, rn_options_items *out) {
  *out = (rn_options_items){0};
  if (value == NULL || value[0] == '\0') return RN_OK;
  if (rn_options_is_list(value)) return parse_list(err, where, fields, value, out);
  RN_TRY(err, rn_alloc(err, "list", 1, sizeof *out->item, &out->item));
  out->count = 1;
  out->item->weight = 1;
  out->item->dir = strdup(value);
  return out->item->dir != NULL ? RN_OK : no_memory(err, where);
}

void rn_options_items_free(rn_options_items *items) {
  for (int i = 0; i < items->count; i++) {
    free(items->item[i].name);
    free(items->item[i].dir);
  }
  free(items->item);
  *items = (rn_options_items){0};
}

/* ---- text ---- */

/* Appends `piece` to a text of `used` bytes in a buffer of `bytes` bytes. Returns the length of the
 * complete new text; if the length is `bytes` or more, the text in the buffer is truncated. */
static size_t append(char *text, size_t used, size_t bytes, const char *piece) {
  if (used < bytes) snprintf(text + used, bytes - used, "%s", piece);
  return used + strlen(piece);
}

static size_t append_quoted(char *text, size_t used, size_t bytes, const char *label,
                            const char *value) {
  char quoted[RN_OPTIONS_TEXT_BYTES];
  rn_options_quote(value, quoted, sizeof quoted);
  used = append(text, used, bytes, label);
  return append(text, used, bytes, quoted);
}

bool rn_options_items_text(const rn_options_items *items, char *text, size_t bytes) {
  char weight[64], number[32];
  size_t used = append(text, 0, bytes, "[");
  for (int i = 0; i < items->count; i++) {
    const rn_options_item *item = &items->item[i];
    used = append(text, used, bytes, i > 0 ? ", {" : "{");
    if (item->name != NULL) {
      used = append_quoted(text, used, bytes, "name: ", item->name);
      used = append(text, used, bytes, ", ");
    }
    used = append_quoted(text, used, bytes, "dir: ", item->dir);
    rn_options_double_text(item->weight, number, sizeof number);
    snprintf(weight, sizeof weight, ", weight: %s", number);
    if (item->name == NULL) used = append(text, used, bytes, weight);
    used = append(text, used, bytes, "}");
  }
  used = append(text, used, bytes, "]");
  return used < bytes;
}
