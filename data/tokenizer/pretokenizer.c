#include "data/tokenizer/pretokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "data/tokenizer/pattern.h"
#include "data/tokenizer/unicode_classes.h"
#include "proto/base/arena.h"
#include "proto/base/utf8.h"

enum { STACK_START_BYTES = 1 << 15, STACK_MAX_BYTES = 1 << 25 };

struct rn_pretokenizer {
  pcre2_code *code;
  bool jit, cuts;
  const rn_unicode_class *letter, *digit;
};

struct rn_pretokenizer_work {
  const rn_pretokenizer *pretokenizer;
  pcre2_match_data *match;
  pcre2_match_context *context;
  pcre2_jit_stack *stack;
  rn_text repaired; /* the text with each bad byte replaced by U+FFFD; a byte is bad if it is not
                       part of well-formed UTF-8 */
  size_t *bad;      /* [bad_count] positions in `repaired` of the replaced bytes, ascending */
  size_t bad_count, bad_capacity;
};

static rn_status out_of_memory(rn_err *err) {
  return rn_fail(err, RN_ERR_MEMORY, "out of memory for the pre-tokenizer");
}

static rn_status library_error(rn_err *err, rn_status status, const char *what, int code) {
  PCRE2_UCHAR text[256] = {0};
  pcre2_get_error_message(code, text, sizeof text);
  return rn_fail(err, status, "%s: PCRE2: %s", what, (const char *)text);
}

/* Compiles a pattern, which comes from a file and is not trusted. PCRE2_NEVER_BACKSLASH_C excludes
 * \C, which would match a part of a UTF-8 sequence. */
static rn_status compile(rn_err *err, const rn_text *pattern, rn_pretokenizer *p) {
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
  int code = 0;
  size_t offset = 0;
  p->code =
      pcre2_compile((PCRE2_SPTR)pattern->bytes, pattern->count, options, &code, &offset, NULL);
  if (p->code == NULL && code == PCRE2_ERROR_HEAP_FAILED) return out_of_memory(err);
  if (p->code == NULL) return library_error(err, RN_ERR_FORMAT, "the pattern is not valid", code);
  p->jit = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0; /* false: interpreted */
  return RN_OK;
}

rn_status rn_pretokenizer_create(rn_err *err, const char *pattern, rn_pretokenizer **out) {
  rn_pretokenizer *p = NULL;
  rn_text translated = {0};
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "pre-tokenizer", 1, sizeof *p, &p));
  p->cuts = rn_pattern_cuts(pattern);
  p->letter = rn_unicode_class_find("L", 1);
  p->digit = rn_unicode_class_find("N", 1);
  rn_status status = rn_pattern_translate(err, pattern, &translated);
  if (status == RN_OK) status = compile(err, &translated, p);
  rn_text_free(&translated);
  if (status != RN_OK) rn_pretokenizer_destroy(&p);
  *out = p;
  return status;
}

void rn_pretokenizer_destroy(rn_pretokenizer **pretokenizer) {
  rn_pretokenizer *p = *pretokenizer;
  if (p == NULL) return;
  pcre2_code_free(p->code);
  free(p);
  *pretokenizer = NULL;
}

/* ---- cuts ---- */

/* True if a letter or number ends at `end`. */
static bool ends_word(const rn_pretokenizer *p, const unsigned char *text, size_t end) {
  size_t start = end - 1;
  while (start > 0 && end - start < 4 && (text[start] & 0xc0) == 0x80) start--;
  const size_t length = end - start;
  if (rn_utf8_length(text + start, length) != length) return false;
  uint32_t code = length == 1 ? text[start] : text[start] & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; i++) code = code << 6 | (text[start + i] & 0x3f);
  return rn_unicode_class_has(p->letter, code) || rn_unicode_class_has(p->digit, code);
}

size_t rn_pretokenizer_cut(const rn_pretokenizer *p, const char *text, size_t count) {
  const unsigned char *bytes = (const unsigned char *)text;
  for (size_t at = count; p->cuts && at-- > 1;) {
    const bool blank = bytes[at] == ' ' || (bytes[at] >= '\t' && bytes[at] <= '\r');
    if (blank && ends_word(p, bytes, at)) return at;
  }
  return 0;
}

/* ---- splitting ---- */

rn_status rn_pretokenizer_work_create(rn_err *err, const rn_pretokenizer *p,
                                      rn_pretokenizer_work **out) {
  rn_pretokenizer_work *w = NULL;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "pre-tokenizer", 1, sizeof *w, &w));
  w->pretokenizer = p;
  w->match = pcre2_match_data_create(1, NULL);
  w->context = pcre2_match_context_create(NULL);
  w->stack = pcre2_jit_stack_create(STACK_START_BYTES, STACK_MAX_BYTES, NULL);
  if (w->match == NULL || w->context == NULL || w->stack == NULL) {
    rn_pretokenizer_work_destroy(&w);
    return out_of_memory(err);
  }
  pcre2_jit_stack_assign(w->context, NULL, w->stack);
  pcre2_set_match_limit(w->context, UINT32_MAX); /* 10 million blanks exceed the default limit */
  *out = w;
  return RN_OK;
}

void rn_pretokenizer_work_destroy(rn_pretokenizer_work **work) {
  rn_pretokenizer_work *w = *work;
  if (w == NULL) return;
  pcre2_match_data_free(w->match);
  pcre2_match_context_free(w->context);
  pcre2_jit_stack_free(w->stack);
  rn_text_free(&w->repaired);
  free(w->bad);
  free(w);
  *work = NULL;
}

static rn_status add_bad(rn_err *err, rn_pretokenizer_work *w) {
  RN_TRY(err, rn_grow(err, "pre-tokenizer", w->bad_count + 1, sizeof *w->bad, &w->bad,
                      &w->bad_capacity));
  w->bad[w->bad_count++] = w->repaired.count;
  return rn_text_add(err, &w->repaired, "\xef\xbf\xbd", 3);
}

static rn_status repair(rn_err *err, rn_pretokenizer_work *w, const unsigned char *text,
                        size_t count) {
  w->repaired.count = w->bad_count = 0;
  for (size_t at = 0; at < count;) {
    const size_t length = rn_utf8_length(text + at, count - at);
    RN_TRY(err, length > 0 ? rn_text_add(err, &w->repaired, text + at, length) : add_bad(err, w));
    at += length > 0 ? length : 1;
  }
  return RN_OK;
}

/* Sets `range` to the next match at or after `at`, or to an empty range at the end if there is
 * none. Rejects a match that ends before it begins or begins before `at`, which \K can
 * produce in a group that is called from a lookaround. */
static rn_status next_match(rn_err *err, rn_pretokenizer_work *w, const unsigned char *text,
                            size_t count, size_t at, size_t range[2]) {
  const rn_pretokenizer *p = w->pretokenizer;
  const uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY; /* `text` is valid UTF-8 */
  int found = p->jit ? pcre2_jit_match(p->code, text, count, at, options, w->match, w->context)
                     : pcre2_match(p->code, text, count, at, options, w->match, w->context);
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) { /* the interpreter uses the heap, not the stack */
    found = pcre2_match(p->code, text, count, at, options | PCRE2_NO_JIT, w->match, w->context);
  }
  range[0] = range[1] = count;
  if (found == PCRE2_ERROR_NOMATCH) return RN_OK;
  if (found < 0)
    return library_error(err, RN_ERR_LIBRARY, "cannot split the text into words", found);
  const size_t *vector = pcre2_get_ovector_pointer(w->match);
  range[0] = vector[0];
  range[1] = vector[1];
  if (at <= range[0] && range[0] < range[1] && range[1] <= count) return RN_OK;
  return rn_fail(err, RN_ERR_FORMAT,
                 "the pattern of the tokenizer has an invalid match, which ends before it begins; "
                 "does it use \\K?");
}

/* State while a text is split. Pieces are found in the repaired text, in which invalid UTF-8 is
 * replaced, but visited with their original bytes. `first` is the index in `bad` of the first
 * invalid byte that has not been visited yet. */
typedef struct splitting {
  rn_pretokenizer_work *work;
  const unsigned char *original; /* the part of the text that is not visited yet */
  size_t first;
  rn_piece_visit *visit;
  void *self;
} splitting;

static rn_status visit_piece(rn_err *err, splitting *s, size_t from, size_t to) {
  size_t count = to - from;
  const rn_pretokenizer_work *w = s->work;
  for (; s->first < w->bad_count && w->bad[s->first] < to; s->first++) count -= 2;
  if (count == 0) return RN_OK;
  const unsigned char *piece = s->original;
  s->original += count;
  return s->visit(s->self, err, piece, count);
}

rn_status rn_pretokenizer_split(rn_err *err, rn_pretokenizer_work *w, const char *text,
                                size_t count, rn_piece_visit *visit, void *self) {
  const unsigned char *bytes = (const unsigned char *)text;
  splitting s = {.work = w, .original = bytes, .visit = visit, .self = self};
  w->bad_count = 0;
  if (!rn_utf8_is_valid(bytes, count)) {
    RN_TRY(err, repair(err, w, bytes, count));
    bytes = (const unsigned char *)w->repaired.bytes;
    count = w->repaired.count;
  }
  for (size_t at = 0; at < count;) {
    size_t range[2];
    RN_TRY(err, next_match(err, w, bytes, count, at, range));
    RN_TRY(err, visit_piece(err, &s, at, range[0]));
    RN_TRY(err, visit_piece(err, &s, range[0], range[1]));
    at = range[1];
  }
  return RN_OK;
}
