/* Validates text values, and quotes them for YAML so that they read back unchanged. */
#include <string.h>

#include "proto/options/options_key.h"

/* Returns the length in bytes of the UTF-8 character at `text`, and its code point in *code;
 * returns 0 if the character is not valid. */
static int character_at(const unsigned char *text, uint32_t *code) {
  static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const int length = text[0] < 0x80   ? 1
                     : text[0] < 0xc0 ? 0
                     : text[0] < 0xe0 ? 2
                     : text[0] < 0xf0 ? 3
                     : text[0] < 0xf8 ? 4
                                      : 0;
  *code = length > 1 ? text[0] & (0x7fu >> length) : text[0];
  for (int i = 1; i < length; i++) {
    if ((text[i] & 0xc0) != 0x80) return 0;
    *code = *code << 6 | (text[i] & 0x3f);
  }
  const bool surrogate = *code >= 0xd800 && *code < 0xe000;
  return length > 0 && *code >= smallest[length] && *code < 0x110000 && !surrogate ? length : 0;
}

bool rn_options_is_text(const char *value) {
  uint32_t code;
  for (const unsigned char *at = (const unsigned char *)value; *at != '\0';) {
    const int length = character_at(at, &code);
    if (length == 0) return false;
    at += length;
  }
  return strlen(value) < RN_OPTIONS_STRING_BYTES;
}

/* True for characters that must be written as numeric escapes, because YAML would otherwise read
 * them as line breaks, drop them, or reject them. */
static bool needs_number(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
         code == 0xfeff || code == 0xfffe || code == 0xffff;
}

void rn_options_quote(const char *string, char *text, size_t bytes) {
  size_t used = 0;
  text[used++] = '"';
  for (const char *at = string != NULL ? string : ""; *at != '\0' && used + 9 < bytes;) {
    uint32_t code;
    int length = character_at((const unsigned char *)at, &code);
    if (length == 0) length = 1;
    if (needs_number(code)) {
      used += (size_t)snprintf(text + used, bytes - used, "\\u%04x", code);
    } else {
      if (code == '"' || code == '\\') text[used++] = '\\';
      memcpy(text + used, at, (size_t)length);
      used += (size_t)length;
    }
    at += length;
  }
  text[used++] = '"';
  text[used] = '\0';
}
