/** Composes a tokenizer.json of byte-level BPE. */
#ifndef RN_DATA_TOKENIZER_HF_COMPOSE_H
#define RN_DATA_TOKENIZER_HF_COMPOSE_H

#include <jansson.h>
#include <stdbool.h>

#include "data/tokenizer/tokenizer.h"

typedef struct rn_hf_fields {
  json_t *vocab;       /* the id of each token, written in the alphabet of hf_alphabet.h */
  json_t *merges;      /* "LEFT RIGHT", the lowest rank first */
  json_t *special;     /* the id of each special token */
  const char *pattern; /* for Oniguruma; NULL: that of GPT-2, which ByteLevel has */
  bool whole_first;    /* a piece that is a token is that token */
} rn_hf_fields;

/** Returns the text; the caller frees it. NULL: out of memory. The values still belong to the
 * caller. */
char *rn_hf_compose(const rn_hf_fields *fields);

/**
 * Translates a pattern that tiktoken uses for Oniguruma, which Hugging Face uses: there ^ and $ are
 * the ends of lines, and X{n,m}+ is not possessive.
 *
 * Ownership: the caller frees *out. Errors: RN_ERR_FORMAT for brackets that do not match or are
 * nested too deeply; RN_ERR_MEMORY.
 */
rn_status rn_hf_pattern(rn_err *err, const char *pattern, rn_text *out);

#endif
