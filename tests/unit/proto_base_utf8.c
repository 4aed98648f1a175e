/* Checks that each maximal ill-formed part of UTF-8 is replaced by U+FFFD, and that valid UTF-8
 * is not changed. */
#include "proto/base/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/check.h"

#define R "\xef\xbf\xbd"

static void mends(const char *from, size_t count, const char *want) {
  unsigned char to[64];
  const unsigned char *bytes = (const unsigned char *)from;
  const size_t got = rn_utf8_replace_invalid(bytes, count, to);
  CHECK_EQUAL(got, strlen(want));
  CHECK(memcmp(to, want, strlen(want)) == 0);
  CHECK(rn_utf8_is_valid(to, got));
  CHECK(rn_utf8_is_valid(bytes, count) == (got == count && memcmp(to, from, got) == 0));
}

/* Checks all code points; surrogates are not valid. */
static void every_character_stays(void) {
  int wrong = 0;
  for (uint32_t c = 0; c < 0x110000; c++) {
    unsigned char b[4], to[12];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--) b[i] = (unsigned char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
    b[0] = (unsigned char)(lead[n] | c >> 6 * (n - 1));
    const bool character = c < 0xd800 || c > 0xdfff;
    wrong += rn_utf8_is_valid(b, n) != character;
    wrong += (rn_utf8_replace_invalid(b, n, to) == n && memcmp(to, b, n) == 0) != character;
  }
  CHECK_EQUAL(wrong, 0);
}

int main(void) {
  every_character_stays();
  mends("", 0, "");
  mends("a\xc3\xa9z", 4, "a\xc3\xa9z");
  mends(
      "\xff"
      "a",
      2, R "a");
  mends("\xe2\x82", 2, R); /* a truncated sequence is one part */
  mends(
      "\xe2\x82"
      "b",
      3, R "b");                         /* truncated by another character */
  mends("\xc0\xaf", 2, R R);             /* encoded with too many bytes */
  mends("\xed\xa0\x80", 3, R R R);       /* a surrogate */
  mends("\xf4\x90\x80\x80", 4, R R R R); /* above U+10FFFF */
  mends("\xf0\x9f\x98", 3, R);
  mends("\xf0\x9f\xf0\x9f\x98\x80", 6, R "\xf0\x9f\x98\x80");
  return check_result();
}
