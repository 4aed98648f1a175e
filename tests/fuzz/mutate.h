/**
 * Damage by chance that can be repeated: a seed decides what happens to some bytes.
 *
 * One to eight wounds: bits turned, bytes and integers set to extremes, pieces cut out, doubled,
 * moved or strewn with noise, the end cut off. A test feeds the result to a reader, which may
 * refuse it but must neither crash nor hang.
 */
#ifndef RN_TESTS_FUZZ_MUTATE_H
#define RN_TESTS_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/** Words that mean something in the format (keys, brackets, tags); `count` may be 0. */
typedef struct mutate_dictionary {
  const char *const *word;
  int count;
} mutate_dictionary;

/** Damages `data`, which has room for `max_bytes`; returns the new size. */
size_t mutate(unsigned char *data, size_t bytes, size_t max_bytes, uint64_t seed);

/** The same, with words of a dictionary among the wounds. */
size_t mutate_with(unsigned char *data, size_t bytes, size_t max_bytes, uint64_t seed,
                   mutate_dictionary dictionary);

/** How many rounds to run: RETNET_FUZZ_ROUNDS if it is set, else `usual`. */
int64_t mutate_rounds(int64_t usual);

#endif
