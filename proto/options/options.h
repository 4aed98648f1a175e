/**
 * Converts configurations from YAML and `-s key=value` to the message of the schema, and back.
 *
 * The schema (config.proto) is the only definition of keys, types, defaults, ranges and help; this
 * code contains no names of keys. All sections are present, with their defaults, so callers can
 * read config->train->steps without checks. The has_ flag of a key is true if the user gave the
 * key.
 */
#ifndef RN_PROTO_OPTIONS_OPTIONS_H
#define RN_PROTO_OPTIONS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

/** Size of a buffer that holds the text of any value. */
enum { RN_OPTIONS_TEXT_BYTES = 6 * 4096 + 16 };

/** RN_OPTIONS_MAX_KEYS: upper bound of the number of keys in the schema. RN_OPTIONS_BY_S: value of
 * rn_options_locations.line for a key that was set by -s. */
enum { RN_OPTIONS_MAX_KEYS = 128, RN_OPTIONS_BY_S = -1 };

/** Where each key was given; keys are in the order of the schema. `line` is the line in the file,
 * RN_OPTIONS_BY_S for -s, or 0 if the key was not given. */
typedef struct rn_options_locations {
  const char *file; /* not owned */
  int line[RN_OPTIONS_MAX_KEYS];
} rn_options_locations;

/** Creates a config with all defaults. The caller frees it with rn_options_free. */
rn_status rn_options_create(rn_err *err, Retnet__Config **out);
void rn_options_free(Retnet__Config **config);

/**
 * Loads the YAML file, unless `path` is NULL, then applies the overrides "section.key=value" in
 * order.
 *
 * A key or section without value, or with the unquoted value null or ~, is absent. Anchors and
 * quoted numbers are accepted; merge keys, octal and hexadecimal numbers, yes and no are not
 * accepted.
 * Errors: RN_ERR_USAGE with file and line or "-s key": missing file, invalid YAML, unknown key (the
 *         message names the nearest one), key given twice, value of a wrong type or out of range,
 *         unknown word.
 */
rn_status rn_options_load(rn_err *err, const char *path, const char *const *overrides, int count,
                          Retnet__Config **out);

/** The sources of a configuration: the text of a file, and overrides "section.key=value". */
typedef struct rn_options_input {
  const char *name; /* name of the file, used in messages; NULL if `text` is NULL */
  const char *text; /* [bytes]; NULL: no file */
  size_t bytes;
  const char *const *overrides; /* [count] */
  int count;
} rn_options_input;

/** Does the same as rn_options_load, from text in memory. `locations` may be NULL. */
rn_status rn_options_load_text(rn_err *err, const rn_options_input *input,
                               rn_options_locations *locations, Retnet__Config **out);

/**
 * Reads the whole file, which may be a pipe or a terminal; the caller frees *text.
 * Errors: RN_ERR_USAGE if it does not exist, is a folder, may not be read or has more than 1 MiB;
 *         RN_ERR_IO if it cannot be read for another reason; RN_ERR_MEMORY.
 */
rn_status rn_options_read(rn_err *err, const char *path, char **text, size_t *bytes);

/** Sets one key from text; error messages begin with `where` ("run.yaml:3", "-s"). */
rn_status rn_options_set(rn_err *err, Retnet__Config *config, const char *where, const char *key,
                         const char *value);

/** Returns the index of "section.key" in the order of the schema; -1 if there is no such key. */
int rn_options_key_index(const char *key);

/** True if the user gave "section.key". */
bool rn_options_given(const Retnet__Config *config, const char *key);

/** Writes the value of "section.key" as YAML text; returns false if there is no such key. */
bool rn_options_text(const Retnet__Config *config, const char *key, char *text, size_t bytes);

/** Makes a deep copy, including has_ flags. The caller frees it with rn_options_free. */
rn_status rn_options_copy(rn_err *err, const Retnet__Config *config, Retnet__Config **out);

/** Creates the sections that are NULL, with defaults. */
rn_status rn_options_complete(rn_err *err, Retnet__Config *config);

/** Copies to `config` the values of the keys that are given in `from` but not in `config`. Does not
 * copy texts and lists.
 */
void rn_options_merge(Retnet__Config *config, const Retnet__Config *from);

/** Marks all keys as given, except texts and lists. */
void rn_options_give_all(Retnet__Config *config);

/** Calls `visit` with every "section.key". */
void rn_options_each(void (*visit)(void *self, const char *key), void *self);

/** Writes to `text` the comment that follows "section.key" in YAML; "" for none. */
typedef void rn_options_note(const void *self, const char *key, char *text, size_t bytes);

/** These functions write the config as YAML that loads back to the same values. The second function
 * adds the comments that `note` writes. */
void rn_options_write_yaml(const Retnet__Config *config, FILE *file);
void rn_options_write_yaml_noted(const Retnet__Config *config, rn_options_note *note,
                                 const void *self, FILE *file);

/** Checks that a text key is given and not empty. Errors: RN_ERR_USAGE naming the key. */
rn_status rn_options_require(rn_err *err, const Retnet__Config *config, const char *key);

/** The description of one key in the help. */
typedef struct rn_options_help {
  const char *section, *name;
  const char *value;  /* default, as YAML text */
  const char *domain; /* allowed words, "a|b", or range; "" if any value is allowed */
  const char *doc;
} rn_options_help;

/** Calls `visit` with every key in the order of the help. The texts are valid until `visit`
 * returns. */
void rn_options_each_help(void (*visit)(void *self, const rn_options_help *help), void *self);

/** Prints all keys with their defaults, allowed values or ranges, and meanings. */
void rn_options_print_help(FILE *file);

#endif
