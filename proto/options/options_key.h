/** Finds a key of the schema, and the value of the key in a message. Used only in proto/options. */
#ifndef RN_PROTO_OPTIONS_OPTIONS_KEY_H
#define RN_PROTO_OPTIONS_OPTIONS_KEY_H

#include "proto/options/options.h"
#include "proto/options/schema_table.h"

/* RN_OPTIONS_STRING_BYTES: maximum length of a text value, including the final 0. Quoting turns one
 * byte into up to six, so RN_OPTIONS_TEXT_BYTES is six times as large. */
enum { RN_OPTIONS_STRING_BYTES = 4096, RN_OPTIONS_NAME_BYTES = 64 };

/** A key: the field of its section in Config, the field of the key in the section, and its row of
 * the schema table. */
typedef struct rn_options_key {
  const ProtobufCFieldDescriptor *section, *field;
  const rn_schema_key *schema;
} rn_options_key;

/** Sets *out to the key with this full name ("model.dim"); returns false if there is none. */
bool rn_options_find(const char *name, rn_options_key *out);

/** Sets *out to the key of a row of the schema table, and `name` to the full name of the key
 * ("model.dim"). Returns false if the schema has no such key. */
bool rn_options_find_row(const rn_schema_key *row, char name[RN_OPTIONS_NAME_BYTES],
                         rn_options_key *out);

/** Returns the key's index in the order of the schema. */
int rn_options_index(const rn_options_key *key);

/** Finds the section nearest to `name`. */
void rn_options_nearest_section(const char *name, char *nearest, size_t bytes);

/** Finds the full key name nearest to `name`. */
void rn_options_nearest(const char *name, char *nearest, size_t bytes);

/** These functions return the message of the key's section, and the key's member in that
 * message. */
ProtobufCMessage *rn_options_section(const Retnet__Config *config, const rn_options_key *key);
void *rn_options_member(const Retnet__Config *config, const rn_options_key *key);

/** Writes the word of an enum value: lower case, without the prefix in the schema. */
void rn_options_enum_name(const ProtobufCEnumDescriptor *type, int index, char *word, size_t bytes);

/** Writes the shortest text that reads back as the same double; integers below 1e6 without an
 * exponent. */
void rn_options_double_text(double number, char *text, size_t bytes);

/** True if `value` is valid for a text key: UTF-8, shorter than RN_OPTIONS_STRING_BYTES. */
bool rn_options_is_text(const char *value);

/** Writes the string (NULL: empty) as a YAML double-quoted scalar. */
void rn_options_quote(const char *string, char *text, size_t bytes);

#endif
