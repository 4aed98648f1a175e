#include "data/batch/sampler.h"

#include "proto/base/random.h"

enum { ROUNDS = 6 };

/* Applies a Feistel permutation of 0 .. 4^half_bits - 1 to `value`. */
static uint64_t feistel(rn_random_key key, int half_bits, uint64_t value) {
  const uint64_t mask = (UINT64_C(1) << half_bits) - 1;
  uint64_t left = value >> half_bits, right = value & mask;
  for (uint64_t round = 0; round < ROUNDS; round++) {
    uint32_t mixed[4];
    rn_random_four(key, right, round, mixed);
    const uint64_t next = left ^ ((mixed[0] | (uint64_t)mixed[1] << 32) & mask);
    left = right;
    right = next;
  }
  return left << half_bits | right;
}

int64_t rn_sampler_sequence(uint64_t seed, int64_t n, int64_t g) {
  const uint64_t words[2] = {seed, (uint64_t)(g / n)};
  const rn_random_key key = rn_random_key_make(RN_RANDOM_ORDER, words, 2);
  int half_bits = 1;
  while (half_bits < 31 && (UINT64_C(1) << (2 * half_bits)) < (uint64_t)n) half_bits++;
  uint64_t value = (uint64_t)(g % n);
  do {
    value = feistel(key, half_bits, value);
  } while (value >= (uint64_t)n);
  return (int64_t)value;
}
