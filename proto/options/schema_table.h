/** Declares the help and range of each key, which are generated from the comments in
 * config.proto. */
#ifndef RN_PROTO_OPTIONS_SCHEMA_TABLE_H
#define RN_PROTO_OPTIONS_SCHEMA_TABLE_H

#include <stdbool.h>

typedef struct rn_schema_key {
  const char *section, *name; /* "model", "dim" */
  const char *doc;            /* one line */
  const char *range;          /* range as written in the comment; "" if there is none */
  const char *items;          /* fields of the items if the value may be a list; else "" */
  bool has_low, has_high, low_open, high_open;
  double low, high;
} rn_schema_key;

/** All keys in the order of the schema; the name of the last entry is NULL. */
extern const rn_schema_key rn_schema_table[];

#endif
