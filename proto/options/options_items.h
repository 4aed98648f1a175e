/**
 * Parses and writes lists of mappings, which some text keys accept as values, for example data.dir:
 * [{dir: A, weight: 2}, {dir: B}].
 *
 * In config.proto, the line "Items:" in the comment of such a key names the fields of an item. The
 * key holds the list as YAML text, so that -s, files and checkpoints treat it like any other text.
 * A value that does not begin with a bracket is the `dir` of a single item.
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
  double weight; /* 1 if not given */
} rn_options_item;

/** Zero-initialise. */
typedef struct rn_options_items {
  rn_options_item *item; /* [count] */
  int count;
} rn_options_items;

/** True if the value is a list: it begins with a bracket. */
bool rn_options_is_list(const char *value);

/**
 * Parses a value; error messages begin with `where`. `fields` names the fields that an item may
 * have, for example "dir weight" or "name dir"; all fields except weight are required. NULL and the
 * empty text contain no items.
 *
 * Ownership: the caller must call rn_options_items_free, even after a failure.
 * Errors:    RN_ERR_USAGE naming the item; RN_ERR_MEMORY.
 */
rn_status rn_options_items_parse(rn_err *err, const char *where, const char *fields,
                                 const char *value, rn_options_items *out);
void rn_options_items_free(rn_options_items *items);

/** Writes the items as a list on one line to text [bytes]; returns false if the list has `bytes`
 * bytes or more. */
bool rn_options_items_text(const rn_options_items *items, char *text, size_t bytes);

#endif
