#include "tests/fuzz/mutate.h"

#include <string.h>

#include "proto/random.h"

/* Numbers for one call, asked one after the other. */
typedef struct dice {
  rn_random_key key;
  uint64_t asked;
} dice;

static uint64_t roll(dice *d, uint64_t sides) {
  return rn_random_bits(d->key, d->asked++) % sides;
}

static void set_extreme(unsigned char *data, size_t bytes, dice *d) {
  static const unsigned char extremes[] = {0x00, 0xff, 0x7f, 0x80, 0x01, '"', '{', '9'};
  size_t at = roll(d, bytes), length = 1 + roll(d, 9);
  unsigned char value = extremes[roll(d, sizeof extremes)];
  for (size_t i = at; i < bytes && i < at + length; i++) data[i] = value;
}

static size_t remove_piece(unsigned char *data, size_t bytes, dice *d) {
  size_t at = roll(d, bytes), length = 1 + roll(d, roll(d, 8) == 0 ? bytes : 8);
  if (length > bytes - at) length = bytes - at;
  memmove(data + at, data + at + length, bytes - at - length);
  return bytes - length;
}

static size_t double_piece(unsigned char *data, size_t bytes, size_t most_bytes, dice *d) {
  size_t from = roll(d, bytes), to = roll(d, bytes), length = 1 + roll(d, 32);
  if (length > bytes - from) length = bytes - from;
  if (length > most_bytes - bytes) return bytes;
  memmove(data + to + length, data + to, bytes - to);
  memmove(data + to, data + from, length);
  return bytes + length;
}

size_t mutate(unsigned char *data, size_t bytes, size_t most_bytes, uint64_t seed) {
  dice d = {rn_random_key_named(RN_RANDOM_TEST, seed, "mutate"), 0};
  uint64_t edits = 1 + roll(&d, 4);
  for (uint64_t i = 0; i < edits && bytes > 0; i++) {
    switch (roll(&d, 5)) {
      case 0:
        data[roll(&d, bytes)] ^= (unsigned char)(1u << roll(&d, 8));
        break;
      case 1:
        data[roll(&d, bytes)] = (unsigned char)roll(&d, 256);
        break;
      case 2:
        set_extreme(data, bytes, &d);
        break;
      case 3:
        bytes = remove_piece(data, bytes, &d);
        break;
      default:
        bytes = double_piece(data, bytes, most_bytes, &d);
    }
  }
  return bytes;
}
