#include "data/tokenizer/hf_alphabet.h"

static bool is_itself(unsigned byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

/* Returns the byte that a code point at or above U+0100 represents, or -1. */
static int byte_of(unsigned code) {
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < 256; byte++) {
    if (is_itself(byte)) continue;
    if (next++ == code) return (int)byte;
  }
  return -1;
}

bool rn_alphabet_decode(const char *text, size_t count, unsigned char *bytes, size_t *out) {
  *out = 0;
  for (size_t at = 0; at < count;) {
    const unsigned char first = (unsigned char)text[at];
    const bool two = first >= 0xc2 && first <= 0xdf && at + 1 < count;
    if (first >= 0x80 && !two) return false;
    const unsigned code =
        two ? (first & 0x1fu) << 6 | ((unsigned char)text[at + 1] & 0x3fu) : first;
    const int byte = code < 256 ? (is_itself(code) ? (int)code : -1) : byte_of(code);
    if (byte < 0) return false;
    bytes[(*out)++] = (unsigned char)byte;
    at += two ? 2 : 1;
  }
  return true;
}
