/** Parses JSON texts, and tells memory that ran out from text that is not valid. */
#ifndef RN_DATA_FILE_JSON_TEXT_H
#define RN_DATA_FILE_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * Does the same as json_loadb of jansson, whose parser does not report that memory ran out:
 * depending on the place, it reports an invalid text, an empty reason, or drops a part of a string.
 * Returns NULL and sets *no_memory to true if any allocation failed; otherwise sets it to false,
 * and *reason if it returns NULL. The first call must not run at the same time as other functions
 * of jansson.
 *
 * Ownership: the caller releases the result with json_decref.
 */
json_t *rn_json_parse(const char *text, size_t bytes, size_t flags, json_error_t *reason,
                      bool *no_memory);

#endif
