/** Composes a tokenizer.json of byte-level BPE. */
#ifndef RN_DATA_TOKENIZER_HF_COMPOSE_H
#define RN_DATA_TOKENIZER_HF_COMPOSE_H

#include <jansson.h>
#include <stdbool.h>

#include "data/tokenizer/tokenizer.h"

typedef struct rn_hf_fields {
  json_t *vocab;       /* object: token, in the alphabet of hf_alphabet.h -> id */
  json_t *merges;      /* array of "LEFT RIGHT" in ascending order of rank */
  json_t *special;     /* object: special token -> id */
  const char *pattern; /* pattern in Oniguruma's syntax; NULL: the pattern of GPT-2, which ByteLevel
                          contains */
  bool whole_first;    /* a piece that equals a token is not merged but becomes that token */
} rn_hf_fields;

/** Returns the text of tokenizer.json, or NULL if out of memory. Ownership: the caller frees the
 * text, and still owns the values of `fields`. */
char *rn_hf_compose(const rn_hf_fields *fields);

/**
 * Translates a pattern of tiktoken to the syntax of Oniguruma, the library that Hugging Face uses.
 * In Oniguruma, ^ and $ match at the start and the end of each line, and X{n,m}+ is not possessive.
 *
 * Ownership: the caller frees *out. Errors: RN_ERR_FORMAT for brackets that do not match or are
 * nested too deeply; RN_ERR_MEMORY.
 */
rn_status rn_hf_pattern(rn_err *err, const char *pattern, rn_text *out);

#endif
