/** The byte-level alphabet of GPT-2, in which tokenizer.json writes the bytes of tokens: byte b is
 * U+00b for 33-126, 161-172 and 174-255; the other 68 bytes are, in order, U+0100 to U+0143. */
#ifndef RN_DATA_TOKENIZER_HF_ALPHABET_H
#define RN_DATA_TOKENIZER_HF_ALPHABET_H

#include <stdbool.h>
#include <stddef.h>

/** Turns text, which is valid UTF-8, to bytes [count]; returns false if a character is not in the
 * alphabet. */
bool rn_alphabet_decode(const char *text, size_t count, unsigned char *bytes, size_t *out);

#endif
