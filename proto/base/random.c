#include "proto/base/random.h"

#include <Random123/philox.h>
#include <math.h>
#include <string.h>

static philox4x32_ctr_t philox(rn_random_key key, uint64_t low, uint64_t high) {
  philox4x32_ctr_t counter = {
      {(uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high, (uint32_t)(high >> 32)}};
  philox4x32_key_t philox_key = {{key.word[0], key.word[1]}};
  return philox4x32(counter, philox_key);
}

/* Hashes the words one after the other: each step applies Philox with the current key to the word
 * and its index, and takes the next key from the result. */
rn_random_key rn_random_key_make(rn_random_purpose purpose, const uint64_t *words, int count) {
  rn_random_key key = {{(uint32_t)purpose, (uint32_t)count}};
  for (int i = 0; i < count; i++) {
    philox4x32_ctr_t mixed = philox(key, words[i], (uint64_t)i);
    key.word[0] = mixed.v[0];
    key.word[1] = mixed.v[1];
  }
  return key;
}

rn_random_key rn_random_key_named(rn_random_purpose purpose, uint64_t seed, const char *name) {
  enum { MAX_WORDS = 33 };
  uint64_t words[MAX_WORDS] = {seed};
  size_t length = strlen(name);
  if (length > sizeof words - sizeof words[0]) length = sizeof words - sizeof words[0];
  for (size_t i = 0; i < length; i++) {
    words[1 + i / 8] |= (uint64_t)(unsigned char)name[i] << (8 * (i % 8));
  }
  return rn_random_key_make(purpose, words, (int)(1 + (length + 7) / 8));
}

void rn_random_four(rn_random_key key, uint64_t index, uint64_t index_high, uint32_t out[4]) {
  philox4x32_ctr_t mixed = philox(key, index, index_high);
  memcpy(out, mixed.v, 4 * sizeof out[0]);
}

uint64_t rn_random_bits(rn_random_key key, uint64_t index) {
  uint32_t four[4];
  rn_random_four(key, index, 0, four);
  return four[0] | (uint64_t)four[1] << 32;
}

double rn_random_uniform(rn_random_key key, uint64_t index) {
  return (double)(rn_random_bits(key, index) >> 11) * 0x1p-53;
}

double rn_random_normal(rn_random_key key, uint64_t index) {
  uint32_t four[4];
  rn_random_four(key, index, 0, four);
  double radius_uniform = ((double)four[0] + (double)four[1] * 0x1p-32 + 0x1p-33) * 0x1p-32;
  double angle = 6.283185307179586476925 * ((double)four[2] + 0.5) * 0x1p-32;
  return sqrt(-2.0 * log(radius_uniform)) * cos(angle);
}
