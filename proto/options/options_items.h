/**
 * Lists of mappings, as values of text keys: data.dir: [{dir: A, weight: 2}, {dir: B}].
 *
 * The schema names the fields of the items (Items: in its comments). Such a key holds the list as
 * YAML text, so that -s, files and checkpoints treat it as any other text. A value that does not
 * begin with a bracket is a single item, whose `dir` it is.
 */
#ifndef RN_PROTO_OPTIONS_OPTIONS_ITEMS_H
#define RN_PROTO_OPTIONS_OPTIONS_ITEMS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/status.h"

enum { RN_OPTIONS_MAX_ITEMS = 256 };

typedef struct rn_options_item {
  char *name; /* NULL: not given */
  char *dir;
  double weight; /* 1 if it is not given */
} rn_options_item;

/** Zero-initialise. */
typedef struct rn_options_items {
  rn_options_item *item; /* [count] */
  int count;
} rn_options_items;

/** True if the value of such a key is a list. */
bool rn_options_is_list(const char *value);

/**
 * Parses a value; messages begin with `where`. `fields`: those that an item may have, as "dir
 * weight" or "name dir"; all but weight are required. NULL and the empty text have no items.
 *
 * Ownership: rn_options_items_free must be called, after a failure too.
 * Errors:    RN_ERR_USAGE naming the item; RN_ERR_MEMORY.
 */
rn_status rn_options_items_parse(rn_err *err, const char *where, const char *fields,
                                 const char *value, rn_options_items *out);
void rn_options_items_free(rn_options_items *items);

/** Writes the items as a list on one line; false if it has `bytes` bytes or more. */
bool rn_options_items_text(const rn_options_items *items, char *text, size_t bytes);

#endif
