/** Damage by chance that can be repeated: a seed decides what happens to some bytes. */
#ifndef RN_TESTS_FUZZ_MUTATE_H
#define RN_TESTS_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/**
 * One to four edits: bits flipped, bytes set to extremes, pieces removed, doubled or overwritten.
 *
 * `data` has room for `most_bytes`; returns the new size.
 */
size_t mutate(unsigned char *data, size_t bytes, size_t most_bytes, uint64_t seed);

#endif
