/** Validates and repairs bytes that may not be valid UTF-8. */
#ifndef RN_PROTO_BASE_UTF8_H
#define RN_PROTO_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/** Returns the length of the well-formed character at `at`, 1 to 4; 0 if no well-formed character
 * begins there. */
size_t rn_utf8_length(const unsigned char *at, size_t left);

/** Returns the number of bytes (0 to 3) of an incomplete character at the end. */
size_t rn_utf8_open_end(const unsigned char *bytes, size_t count);

/** True if all bytes form valid UTF-8. */
bool rn_utf8_is_valid(const unsigned char *bytes, size_t count);

/**
 * Copies the bytes and replaces each maximal ill-formed subpart with U+FFFD (Unicode 15, 3.9,
 * substitution of maximal subparts). Returns the number of bytes written to `to`.
 *
 * Shapes: to [3 * count].
 */
size_t rn_utf8_replace_invalid(const unsigned char *bytes, size_t count, unsigned char *to);

#endif
