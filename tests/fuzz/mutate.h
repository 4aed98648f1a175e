/**
 * Mutates a byte string at random. The seed determines the mutations, so that they are
 * reproducible.
 *
 * Each call applies one to eight mutations: it flips bits, sets bytes and integers to extreme
 * values, removes, duplicates or moves pieces, inserts random bytes, truncates the end. A test
 * passes the result to a reader, which may refuse it but must neither crash nor hang.
 */
#ifndef RN_TESTS_FUZZ_MUTATE_H
#define RN_TESTS_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/** Words that have a meaning in the format (keys, brackets, tags); `count` may be 0. */
typedef struct mutate_dictionary {
  const char *const *word;
  int count;
} mutate_dictionary;

/** Mutates `data`, which has room for `max_bytes`; returns the new size. */
size_t mutate(unsigned char *data, size_t bytes, size_t max_bytes, uint64_t seed);

/** Does the same as mutate(), but some mutations insert words of a dictionary. */
size_t mutate_with(unsigned char *data, size_t bytes, size_t max_bytes, uint64_t seed,
                   mutate_dictionary dictionary);

/** Returns the number of rounds to run: RETNET_FUZZ_ROUNDS if it is set, else `usual`. */
int64_t mutate_rounds(int64_t usual);

#endif
