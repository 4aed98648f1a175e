#include "trainer/generate/utf8.h"

#include <string.h>

/* Length and range of the second byte, by the first byte (Unicode 15, table 3-7). */
static const struct {
  unsigned char first, last, bytes, low, high;
} forms[] = {{0x00, 0x7f, 1, 0, 0},       {0xc2, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
             {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f}, {0xee, 0xef, 3, 0x80, 0xbf},
             {0xf0, 0xf0, 4, 0x90, 0xbf}, {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f}};
enum { FORMS = sizeof forms / sizeof forms[0] };

/* Returns the length (>= 1) of the character at `at`. If the bytes there are ill-formed, sets
 * *whole to false and returns the length of the ill-formed subpart. */
static size_t piece_at(const unsigned char *at, size_t left, bool *whole) {
  int f = 0;
  while (f < FORMS && (at[0] < forms[f].first || at[0] > forms[f].last)) f++;
  *whole = false;
  if (f == FORMS) return 1;
  size_t length = 1;
  for (; length < forms[f].bytes; length++) {
    const unsigned char low = length == 1 ? forms[f].low : 0x80;
    const unsigned char high = length == 1 ? forms[f].high : 0xbf;
    if (length == left || at[length] < low || at[length] > high) return length;
  }
  *whole = true;
  return length;
}

bool rn_utf8_is_valid(const unsigned char *bytes, size_t count) {
  bool whole = true;
  for (size_t at = 0; whole && at < count;) at += piece_at(bytes + at, count - at, &whole);
  return whole;
}

size_t rn_utf8_replace_invalid(const unsigned char *bytes, size_t count, unsigned char *to) {
  static const unsigned char replacement[] = {0xef, 0xbf, 0xbd};
  size_t filled = 0;
  for (size_t at = 0; at < count;) {
    bool whole;
    const size_t length = piece_at(bytes + at, count - at, &whole);
    const size_t put = whole ? length : sizeof replacement;
    memcpy(to + filled, whole ? bytes + at : replacement, put);
    filled += put;
    at += length;
  }
  return filled;
}
