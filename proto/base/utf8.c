#include "proto/base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Each entry gives, for first bytes from `first` to `last`, the length of the character in bytes
 * and the range of the second byte (Unicode 15, table 3-7). */
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

size_t rn_utf8_length(const unsigned char *at, size_t left) {
  bool whole;
  if (at[0] < 0x80) return 1;
  const size_t length = piece_at(at, left, &whole);
  return whole ? length : 0;
}

size_t rn_utf8_open_end(const unsigned char *bytes, size_t count) {
  for (size_t open = 1; open < 4 && open <= count; open++) {
    const unsigned char *at = bytes + count - open;
    const size_t needed = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    bool whole;
    if ((at[0] & 0xc0) == 0x80) continue;
    return at[0] >= 0xc2 && at[0] <= 0xf4 && needed > open && piece_at(at, open, &whole) == open
               ? open
               : 0;
  }
  return 0;
}

/* Returns the number of ASCII characters at the start, rounded down to a multiple of eight. */
static size_t ascii_run(const unsigned char *bytes, size_t count) {
  size_t at = 0;
  for (uint64_t eight; at + sizeof eight <= count; at += sizeof eight) {
    memcpy(&eight, bytes + at, sizeof eight);
    if ((eight & UINT64_C(0x8080808080808080)) != 0) break;
  }
  return at;
}

bool rn_utf8_is_valid(const unsigned char *bytes, size_t count) {
  bool whole = true;
  for (size_t at = ascii_run(bytes, count); whole && at < count;) {
    at += piece_at(bytes + at, count - at, &whole);
    at += ascii_run(bytes + at, count - at);
  }
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
