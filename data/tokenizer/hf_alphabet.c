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

/* Returns the code point of a byte. */
static unsigned code_of(unsigned byte) {
  unsigned before = 0;
  if (is_itself(byte)) return byte;
  for (unsigned other = 0; other < byte; other++) before += !is_itself(other);
  return 0x100 + before;
}

bool rn_alphabet_encode(const unsigned char *bytes, size_t count, rn_text *text) {
  for (size_t i = 0; i < count; i++) {
    const unsigned code = code_of(bytes[i]);
    const char two[2] = {(char)(0xc0 | code >> 6), (char)(0x80 | (code & 0x3f))};
    const char one = (char)code;
    const rn_status status = code < 0x80 ? rn_text_add(&(rn_err){0}, text, &one, 1)
                                         : rn_text_add(&(rn_err){0}, text, two, 2);
    if (status != RN_OK) return false;
  }
  return true;
}
