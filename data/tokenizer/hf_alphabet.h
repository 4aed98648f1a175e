/** Converts between bytes and the byte-level alphabet of GPT-2, in which tokenizer.json writes the
 * bytes of tokens. The bytes 33-126, 161-172 and 174-255 are represented by the code points of the
 * same value; the other 68 bytes by U+0100 to U+0143, in order. */
#ifndef RN_DATA_TOKENIZER_HF_ALPHABET_H
#define RN_DATA_TOKENIZER_HF_ALPHABET_H

#include <stdbool.h>
#include <stddef.h>

#include "data/tokenizer/tokenizer.h"

/** Converts `text`, which is valid UTF-8, to bytes [count]; returns false if a character is not in
 * the alphabet. */
bool rn_alphabet_decode(const char *text, size_t count, unsigned char *bytes, size_t *out);

/** Appends the characters that represent the bytes to `text`; returns false if out of memory. */
bool rn_alphabet_encode(const unsigned char *bytes, size_t count, rn_text *text);

#endif
