/** Translates patterns of pre-tokenizers for PCRE2. */
#ifndef RN_DATA_TOKENIZER_PATTERN_H
#define RN_DATA_TOKENIZER_PATTERN_H

#include "data/tokenizer/tokenizer.h"

/** The patterns of GPT-2, cl100k_base and o200k_base. tiktoken 0.14 writes the first two in a
 * different form (pattern.c). */
extern const char rn_pattern_gpt2[], rn_pattern_cl100k[], rn_pattern_o200k[];

/**
 * Translates a pattern: \s, \S and the properties of unicode_classes.h become ranges of code
 * points, because the Unicode version of PCRE2 is older than that of the reference tokenizers.
 *
 * Ownership: the caller frees *out.
 * Errors:    RN_ERR_FORMAT for a class or the operator && inside a class, which PCRE2 would
 *            read as literal characters; RN_ERR_MEMORY.
 */
rn_status rn_pattern_translate(rn_err *err, const char *pattern, rn_text *out);

/**
 * True if, with this pattern, a text can be cut after a letter or number and before white space.
 * This was checked for the patterns listed in pattern.c and is not assumed for others.
 */
bool rn_pattern_cuts(const char *pattern);

#endif
