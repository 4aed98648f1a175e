/* Translates patterns of tiktoken for Oniguruma. Only anchors and possessive intervals are changed.
 */
#include <string.h>

#include "data/tokenizer/hf_compose.h"

enum { MAX_DEPTH = 64 };

/* State of translating one pattern. */
typedef struct walk {
  const char *at; /* current position in the pattern */
  rn_text *out;
  size_t atom;             /* offset in `out` of the last atom */
  size_t group[MAX_DEPTH]; /* [depth] offsets of the open groups */
  int depth;
} walk;

static rn_status copy(rn_err *err, walk *w, size_t count) {
  const char *from = w->at;
  w->at += count;
  return rn_text_add(err, w->out, from, count);
}

/* Returns the length of an escape sequence. */
static size_t escape_length(const char *at) {
  if (at[1] == '\0') return 1;
  const char *end = strchr("pPx", at[1]) != NULL && at[2] == '{' ? strchr(at, '}') : NULL;
  return end != NULL ? (size_t)(end - at) + 1 : 2;
}

/* Returns the length of a class in brackets; 0 if it does not end. */
static size_t class_length(const char *at) {
  const char *end = at + 1;
  if (*end == '^') end++;
  if (*end == ']') end++;
  while (*end != ']') {
    if (*end == '\0') return 0;
    end += *end == '\\' ? escape_length(end) : 1;
  }
  return (size_t)(end - at) + 1;
}

/* Returns the length of the beginning of a group, such as "(", "(?:", "(?i:", "(?=" or "(?<!". For
 * "(?i)", the beginning is "(?i". */
static size_t opening_length(const char *at) {
  if (at[1] != '?') return 1;
  const size_t named = at[2] == '<' ? 3 : 2;
  const size_t length = named + strcspn(at + named, ":=!>)");
  return at[length] == ')' || at[length] == '\0' ? length : length + 1;
}

static rn_status bad_brackets(rn_err *err) {
  return rn_fail(err, RN_ERR_FORMAT,
                 "the pattern has brackets that do not match, or are nested too deeply");
}

/* Copies {n,m}. If the interval is possessive, encloses the atom before it and the interval in
 * (?>...). */
static rn_status interval(rn_err *err, walk *w) {
  const char *end = strchr(w->at, '}');
  if (end == NULL) return bad_brackets(err);
  RN_TRY(err, copy(err, w, (size_t)(end - w->at) + 1));
  if (*w->at != '+') return RN_OK;
  static const char open[] = "(?>";
  const size_t tail = w->out->count - w->atom, shift = sizeof open - 1;
  RN_TRY(err, rn_text_add(err, w->out, open, shift));
  memmove(w->out->bytes + w->atom + shift, w->out->bytes + w->atom, tail);
  memcpy(w->out->bytes + w->atom, open, shift);
  w->at++;
  return rn_text_add(err, w->out, ")", 1);
}

static rn_status replace(rn_err *err, walk *w, const char *by) {
  w->at++;
  return rn_text_add(err, w->out, by, strlen(by));
}

static rn_status next(rn_err *err, walk *w) {
  const char c = *w->at;
  if (c == '{') return interval(err, w);
  if (strchr("+*?|", c) != NULL) return copy(err, w, 1);
  if (c == ')') {
    if (w->depth == 0) return bad_brackets(err);
    w->atom = w->group[--w->depth];
    return copy(err, w, 1);
  }
  if (((unsigned char)c & 0xc0) != 0x80) w->atom = w->out->count; /* not inside a UTF-8 sequence */
  if (c == '^') return replace(err, w, "\\A");
  if (c == '$') return replace(err, w, "\\z");
  if (c == '\\') return copy(err, w, escape_length(w->at));
  if (c == '[') {
    const size_t length = class_length(w->at);
    return length > 0 ? copy(err, w, length) : bad_brackets(err);
  }
  if (c != '(') return copy(err, w, 1);
  if (w->depth == MAX_DEPTH) return bad_brackets(err);
  w->group[w->depth++] = w->atom;
  return copy(err, w, opening_length(w->at));
}

rn_status rn_hf_pattern(rn_err *err, const char *pattern, rn_text *out) {
  walk w = {.at = pattern, .out = out};
  rn_status status = RN_OK;
  *out = (rn_text){0};
  while (status == RN_OK && *w.at != '\0') status = next(err, &w);
  if (status == RN_OK && w.depth > 0) status = bad_brackets(err);
  if (status == RN_OK) status = rn_text_add(err, out, "", 1);
  if (status != RN_OK) rn_text_free(out);
  return status;
}
