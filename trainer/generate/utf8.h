/** Bytes that should be UTF-8 and may not be. */
#ifndef RN_TRAINER_GENERATE_UTF8_H
#define RN_TRAINER_GENERATE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/** Whether all of it is UTF-8. */
bool rn_utf8_is_valid(const unsigned char *bytes, size_t count);

/**
 * The bytes with U+FFFD for each piece that is none, as long as it could have become a character
 * (Unicode 15, 3.9, substitution of maximal subparts).
 *
 * Shapes: to [3 count]; gives the bytes in it.
 */
size_t rn_utf8_mend(const unsigned char *bytes, size_t count, unsigned char *to);

#endif
