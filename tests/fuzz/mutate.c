#include "tests/fuzz/mutate.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/random.h"

/* The byte string that is mutated, and the state of the random number generator: its key, and how
 * many numbers have been drawn. */
typedef struct copy {
  unsigned char *byte;
  size_t length, capacity;
  rn_random_key key;
  uint64_t drawn;
} copy;

static uint64_t draw(copy *c, uint64_t below) {
  return below == 0 ? 0 : rn_random_bits(c->key, c->drawn++) % below;
}

/* Opens a gap of `bytes` bytes at offset `at`, or a smaller one if the capacity does not suffice.
 * Returns the size of the gap. */
static size_t open_gap(copy *c, size_t at, size_t bytes) {
  const size_t room = c->capacity - c->length;
  const size_t width = bytes < room ? bytes : room;
  memmove(c->byte + at + width, c->byte + at, c->length - at);
  c->length += width;
  return width;
}

static void turn_bit(copy *c) {
  if (c->length > 0) c->byte[draw(c, c->length)] ^= (unsigned char)(1u << draw(c, 8));
}

static void set_byte(copy *c) {
  static const unsigned char edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '\n', '"', '9', '-', ' '};
  if (c->length > 0) c->byte[draw(c, c->length)] = edges[draw(c, sizeof edges)];
}

static void set_integer(copy *c) {
  static const uint64_t edges[] = {
      0,          1,         UINT64_MAX, INT64_MAX,  (uint64_t)1 << 63,
      UINT32_MAX, INT32_MAX, 0x80000000, UINT16_MAX, (uint64_t)1 << 40};
  const uint64_t value = edges[draw(c, sizeof edges / sizeof edges[0])];
  const size_t width = (size_t)2 << draw(c, 3);
  if (c->length >= width) memcpy(c->byte + draw(c, c->length - width + 1), &value, width);
}

static void cut_out(copy *c) {
  if (c->length == 0) return;
  const size_t at = draw(c, c->length), bytes = 1 + draw(c, (c->length - at + 3) / 4);
  memmove(c->byte + at, c->byte + at + bytes, c->length - at - bytes);
  c->length -= bytes;
}

static void cut_end(copy *c) {
  c->length = draw(c, c->length + 1);
}

/* Duplicates a random piece: inserts the copy directly after the original. */
static void double_piece(copy *c) {
  if (c->length == 0) return;
  const size_t at = draw(c, c->length), bytes = 1 + draw(c, c->length - at);
  const size_t width = open_gap(c, at, bytes);
  memmove(c->byte + at, c->byte + at + width, width);
}

static void move_piece(copy *c) {
  if (c->length == 0) return;
  const size_t from = draw(c, c->length), to = draw(c, c->length);
  const size_t longest = c->length - (from > to ? from : to);
  memmove(c->byte + to, c->byte + from, 1 + draw(c, longest));
}

static void strew_noise(copy *c) {
  const size_t at = draw(c, c->length + 1), width = open_gap(c, at, 1 + draw(c, 16));
  for (size_t i = 0; i < width; i++) c->byte[at + i] = (unsigned char)draw(c, 256);
}

static void put_word(copy *c, mutate_dictionary dictionary) {
  if (dictionary.count == 0) return;
  const char *word = dictionary.word[draw(c, (uint64_t)dictionary.count)];
  const size_t at = draw(c, c->length + 1);
  memcpy(c->byte + at, word, open_gap(c, at, strlen(word)));
}

static void wound(copy *c, mutate_dictionary dictionary) {
  static void (*const kinds[])(copy *) = {turn_bit, set_byte,     set_integer, cut_out,
                                          cut_end,  double_piece, move_piece,  strew_noise};
  enum { KINDS = sizeof kinds / sizeof kinds[0] };
  const uint64_t kind = draw(c, dictionary.count > 0 ? KINDS + 4 : KINDS);
  if (kind < KINDS) {
    kinds[kind](c);
  } else {
    put_word(c, dictionary);
  }
}

size_t mutate_with(unsigned char *data, size_t bytes, size_t max_bytes, uint64_t seed,
                   mutate_dictionary dictionary) {
  copy c = {.byte = data,
            .length = bytes,
            .capacity = max_bytes,
            .key = rn_random_key_named(RN_RANDOM_TEST, seed, "mutate")};
  const uint64_t wounds = 1 + draw(&c, 8);
  for (uint64_t i = 0; i < wounds; i++) wound(&c, dictionary);
  return c.length;
}

size_t mutate(unsigned char *data, size_t bytes, size_t max_bytes, uint64_t seed) {
  return mutate_with(data, bytes, max_bytes, seed, (mutate_dictionary){NULL, 0});
}

int64_t mutate_rounds(int64_t usual) {
  const char *text = getenv("RETNET_FUZZ_ROUNDS");
  const int64_t rounds = text != NULL ? strtoll(text, NULL, 10) : 0;
  return rounds > 0 ? rounds : usual;
}
