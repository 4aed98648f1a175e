#include "data/text/long_line.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/utf8.h"

enum { PIECE_BYTES = 1 << 16, MAX_OUTLINE_BYTES = 1 << 26, MAX_CHARACTER_BYTES = 4 };

/* The position in the line: outside of strings, in a string, after a backslash, in the digits of
 * \uXXXX. */
typedef enum place { OUTSIDE, STRING, ESCAPE, DIGITS } place;

struct rn_long_line {
  const char *name;
  rn_stream_take *take;
  void *self;
  rn_text outline;
  place place;
  /* structure */
  int64_t depth;   /* number of open objects and arrays */
  char last;       /* the last byte outside of strings, blanks excluded; '"' after a string */
  bool after_text; /* the last key of the outermost object is "text" */
  bool has_text;   /* a string "text" was passed on */
  /* the current string */
  bool is_key, is_text, has_nul;
  uint64_t decoded; /* number of bytes so far */
  int digits;       /* number of digits of \uXXXX that were read */
  uint32_t code;    /* their value */
  uint32_t high;    /* high surrogate whose low surrogate must follow; 0: none */
  size_t count;     /* bytes in `piece` */
  char piece[PIECE_BYTES];
};

rn_status rn_long_line_create(rn_err *err, const char *name, rn_stream_take *take, void *self,
                              rn_long_line **out) {
  RN_TRY(err, rn_alloc(err, "a long line", 1, sizeof **out, out));
  (*out)->name = name;
  (*out)->take = take;
  (*out)->self = self;
  return RN_OK;
}

void rn_long_line_destroy(rn_long_line **line) {
  if (*line == NULL) return;
  rn_text_free(&(*line)->outline);
  free(*line);
  *line = NULL;
}

static rn_status invalid(rn_err *err, const rn_long_line *l, const char *what) {
  return rn_fail(err, RN_ERR_FORMAT, "%s: invalid JSON: %s", l->name, what);
}

static rn_status add_to_outline(rn_err *err, rn_long_line *l, const char *bytes, size_t count) {
  if (l->outline.count + count > MAX_OUTLINE_BYTES) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: the line has more than %d bytes outside of JSON strings", l->name,
                   MAX_OUTLINE_BYTES);
  }
  return rn_text_add(err, &l->outline, bytes, count);
}

/* ---- strings ---- */

/* Checks that the decoded bytes are valid UTF-8; if they belong to the document, passes them on. An
 * incomplete last character stays in the buffer, except at the end of the string. */
static rn_status flush(rn_err *err, rn_long_line *l, bool at_end) {
  const unsigned char *bytes = (const unsigned char *)l->piece;
  const size_t open = at_end ? 0 : rn_utf8_open_end(bytes, l->count), whole = l->count - open;
  if (!rn_utf8_is_valid(bytes, whole)) return invalid(err, l, "a string is not valid UTF-8");
  if (l->is_text && whole > 0) RN_TRY(err, l->take(l->self, err, l->piece, whole));
  memmove(l->piece, l->piece + whole, open);
  l->count = open;
  return RN_OK;
}

static rn_status put(rn_err *err, rn_long_line *l, const char *bytes, size_t count) {
  l->decoded += count;
  while (count > 0) {
    if (l->count > PIECE_BYTES - MAX_CHARACTER_BYTES) RN_TRY(err, flush(err, l, false));
    const size_t room = PIECE_BYTES - l->count, part = count < room ? count : room;
    memcpy(l->piece + l->count, bytes, part);
    l->count += part;
    bytes += part;
    count -= part;
  }
  return RN_OK;
}

static rn_status begin_string(rn_err *err, rn_long_line *l) {
  l->is_key = l->depth == 1 && (l->last == '{' || l->last == ',');
  l->is_text = l->depth == 1 && l->last == ':' && l->after_text;
  l->has_nul = false;
  l->decoded = l->count = 0;
  l->place = STRING;
  if (l->is_text && l->has_text) {
    return rn_fail(
        err, RN_ERR_FORMAT,
        "%s: the line has several fields \"text\", which is not supported in a line that is "
        "too long to be held in memory",
        l->name);
  }
  l->has_text = l->has_text || l->is_text;
  return RN_OK;
}

static rn_status end_string(rn_err *err, rn_long_line *l) {
  const bool names_text = l->is_key && l->decoded == 4 && memcmp(l->piece, "text", 4) == 0;
  if (l->is_key) l->after_text = names_text;
  RN_TRY(err, flush(err, l, true));
  l->place = OUTSIDE;
  l->last = '"';
  const char *kept = names_text ? "\"text\"" : l->has_nul && !l->is_text ? "\"\\u0000\"" : "\"\"";
  return add_to_outline(err, l, kept, strlen(kept));
}

static rn_status put_code(rn_err *err, rn_long_line *l, uint32_t code) {
  char bytes[MAX_CHARACTER_BYTES];
  const size_t count = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (size_t i = count; i-- > 1; code >>= 6) bytes[i] = (char)(0x80 | (code & 0x3f));
  bytes[0] = (char)(first[count] | code);
  return put(err, l, bytes, count);
}

/* Handles the code unit of a complete \uXXXX. */
static rn_status end_digits(rn_err *err, rn_long_line *l) {
  const uint32_t code = l->code, high = l->high;
  l->has_nul = l->has_nul || code == 0;
  const bool is_high = code >= 0xd800 && code < 0xdc00, is_low = code >= 0xdc00 && code < 0xe000;
  l->place = STRING;
  if ((high != 0) != is_low) return invalid(err, l, "unpaired UTF-16 surrogate in a string");
  l->high = is_high ? code : 0;
  if (is_high) return RN_OK;
  return put_code(err, l, is_low ? 0x10000 + ((high - 0xd800) << 10) + (code - 0xdc00) : code);
}

static rn_status take_digit(rn_err *err, rn_long_line *l, char c) {
  const bool decimal = c >= '0' && c <= '9';
  const char letter = (char)(c | 0x20);
  if (!decimal && (letter < 'a' || letter > 'f')) return invalid(err, l, "invalid escape");
  l->code = l->code << 4 | (uint32_t)(decimal ? c - '0' : letter - 'a' + 10);
  return ++l->digits == 4 ? end_digits(err, l) : RN_OK;
}

static rn_status take_escape(rn_err *err, rn_long_line *l, char c) {
  static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  if (c == 'u') {
    l->place = DIGITS;
    l->digits = 0;
    l->code = 0;
    return RN_OK;
  }
  const char *at = c != '\0' ? strchr(letters, c) : NULL;
  if (at == NULL || l->high != 0) return invalid(err, l, "invalid escape");
  l->place = STRING;
  return put(err, l, meanings + (at - letters), 1);
}

/* Takes bytes of a string up to its end or the next escape; returns their number in *used. */
static rn_status take_string(rn_err *err, rn_long_line *l, const char *bytes, size_t count,
                             size_t *used) {
  size_t plain = 0;
  while (plain < count && bytes[plain] != '"' && bytes[plain] != '\\' &&
         (unsigned char)bytes[plain] >= 0x20) {
    plain++;
  }
  *used = plain;
  if (l->high != 0 && (plain > 0 || bytes[0] != '\\')) {
    return invalid(err, l, "unpaired UTF-16 surrogate in a string");
  }
  RN_TRY(err, put(err, l, bytes, plain));
  if (plain == count) return RN_OK;
  *used = plain + 1;
  if (bytes[plain] == '"') return end_string(err, l);
  if (bytes[plain] != '\\') return invalid(err, l, "a control character in a string");
  l->place = ESCAPE;
  return RN_OK;
}

/* ---- bytes outside of strings ---- */

static rn_status take_outside(rn_err *err, rn_long_line *l, char c) {
  const rn_text *outline = &l->outline;
  if (c == '"') return begin_string(err, l);
  if (c == ' ' || c == '\t' || c == '\r') {
    if (outline->count == 0 || outline->bytes[outline->count - 1] == ' ') return RN_OK;
    return add_to_outline(err, l, " ", 1);
  }
  l->depth += c == '{' || c == '[';
  l->depth -= c == '}' || c == ']';
  l->last = c;
  return add_to_outline(err, l, &c, 1);
}

rn_status rn_long_line_add(rn_err *err, rn_long_line *l, const char *bytes, size_t count) {
  for (size_t at = 0, used = 1; at < count; at += used, used = 1) {
    switch (l->place) {
      case OUTSIDE:
        RN_TRY(err, take_outside(err, l, bytes[at]));
        break;
      case STRING:
        RN_TRY(err, take_string(err, l, bytes + at, count - at, &used));
        break;
      case ESCAPE:
        RN_TRY(err, take_escape(err, l, bytes[at]));
        break;
      case DIGITS:
        RN_TRY(err, take_digit(err, l, bytes[at]));
        break;
    }
  }
  return RN_OK;
}

rn_status rn_long_line_finish(rn_err *err, rn_long_line *l, const rn_text **outline) {
  *outline = &l->outline;
  return l->place == OUTSIDE ? RN_OK : invalid(err, l, "a string is not closed");
}
