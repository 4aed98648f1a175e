/**
 * Computes counter-based random numbers: each number is a function of (key, index), without state.
 *
 * The key is a hash of purpose, seed, step, layer and so on; the index selects one of the numbers
 * that belong to the key. Results therefore do not depend on ranks, threads, the order of calls, or
 * local row numbers. Source: Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3 (SC 2011),
 * Philox4x32-10.
 */
#ifndef RN_PROTO_BASE_RANDOM_H
#define RN_PROTO_BASE_RANDOM_H

#include <stdint.h>

typedef struct rn_random_key {
  uint32_t word[2];
} rn_random_key;

/** What random numbers are used for. The purpose is part of every key, so that different uses get
 * different numbers. */
typedef enum {
  RN_RANDOM_INIT = 1,
  RN_RANDOM_DROPOUT = 2,
  RN_RANDOM_ORDER = 3,
  RN_RANDOM_SPLIT = 4,
  RN_RANDOM_SAMPLE = 5,
  RN_RANDOM_TEST = 6
} rn_random_purpose;

/** Returns the key of a purpose and `count` words. */
rn_random_key rn_random_key_make(rn_random_purpose purpose, const uint64_t *words, int count);

/** Returns the key of a purpose, a seed and a text (a tensor's name). */
rn_random_key rn_random_key_named(rn_random_purpose purpose, uint64_t seed, const char *name);

/** Computes four independent 32-bit random numbers from (key, index). */
void rn_random_four(rn_random_key key, uint64_t index, uint64_t index_high, uint32_t out[4]);

/** Returns 64 random bits computed from (key, index). */
uint64_t rn_random_bits(rn_random_key key, uint64_t index);

/** Returns the random number of (key, index), uniform in [0, 1), with 53 random bits. */
double rn_random_uniform(rn_random_key key, uint64_t index);

/** Returns the random number of (key, index), from the standard normal distribution (Box-Muller).
 */
double rn_random_normal(rn_random_key key, uint64_t index);

#endif
