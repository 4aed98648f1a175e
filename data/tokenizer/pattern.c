#include "data/tokenizer/pattern.h"

#include <stdio.h>
#include <string.h>

#include "data/tokenizer/unicode_classes.h"

#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define SPACES "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

const char rn_pattern_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char rn_pattern_cl100k[] =
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES;
const char rn_pattern_o200k[] =
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTION "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER
    "+" LOWER "*" CONTRACTION "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" SPACES;

/* The pattern of cl100k with one digit per piece, as in Qwen 2. */
static const char one_digit[] =
    CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" SPACES;
/* The patterns of GPT-2 and cl100k in the form in which tiktoken 0.14 writes them. */
static const char gpt2_new[] =
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++|\\s++$|\\s+(?!\\S)|\\s";
static const char cl100k_new[] =
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| "
    "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s";

bool rn_pattern_cuts(const char *pattern) {
  const char *const known[] = {rn_pattern_gpt2, rn_pattern_cl100k, rn_pattern_o200k,
                               one_digit,       gpt2_new,          cl100k_new};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (strcmp(pattern, known[i]) == 0) return true;
  }
  return false;
}

static rn_status add_range(rn_err *err, rn_text *out, uint32_t first, uint32_t last) {
  char text[40];
  const int length = snprintf(text, sizeof text, "\\x{%x}-\\x{%x}", first, last);
  return rn_text_add(err, out, text, (size_t)length);
}

/* Adds the ranges of a class or, if `negated`, of all other code points. */
static rn_status add_class(rn_err *err, rn_text *out, const rn_unicode_class *set, bool negated) {
  uint32_t from = 0;
  for (size_t i = 0; i < set->ranges; i++) {
    const rn_code_range range = set->range[i];
    if (!negated) RN_TRY(err, add_range(err, out, range.first, range.last));
    if (negated && range.first > from) RN_TRY(err, add_range(err, out, from, range.first - 1));
    from = range.last + 1;
  }
  return negated ? add_range(err, out, from, 0x10ffff) : RN_OK;
}

/* Recognises \s, \S, \p{X}, \P{X}, \p{^X}, \pX at an escape; returns its length, or 0. */
static size_t class_at(const char *at, const rn_unicode_class **set, bool *negated) {
  *negated = at[1] == 'S' || at[1] == 'P';
  if (at[1] == 's' || at[1] == 'S') {
    *set = rn_unicode_class_find("White_Space", strlen("White_Space"));
    return 2;
  }
  if ((at[1] != 'p' && at[1] != 'P') || at[2] == '\0') return 0;
  if (at[2] != '{') {
    *set = rn_unicode_class_find(at + 2, 1);
    return *set != NULL ? 3 : 0;
  }
  const char *name = at + 3, *end = strchr(name, '}');
  if (end == NULL) return 0;
  if (*name == '^') {
    *negated = !*negated;
    name++;
  }
  *set = rn_unicode_class_find(name, (size_t)(end - name));
  return *set != NULL ? (size_t)(end - at) + 1 : 0;
}

static rn_status translate_escape(rn_err *err, const char **at, bool inside, rn_text *out) {
  const rn_unicode_class *set = NULL;
  bool negated = false;
  const size_t length = class_at(*at, &set, &negated);
  if (length == 0) {
    const size_t two = (*at)[1] != '\0' ? 2 : 1;
    RN_TRY(err, rn_text_add(err, out, *at, two));
    *at += two;
    return RN_OK;
  }
  *at += length;
  if (!inside) RN_TRY(err, rn_text_add(err, out, "[", 1));
  RN_TRY(err, add_class(err, out, set, negated));
  return inside ? RN_OK : rn_text_add(err, out, "]", 1);
}

rn_status rn_pattern_translate(rn_err *err, const char *pattern, rn_text *out) {
  bool inside = false;
  const char *opened = NULL; /* position after "[" or "[^", where "]" is a literal */
  for (const char *at = pattern; *at != '\0';) {
    if (*at == '\\') {
      RN_TRY(err, translate_escape(err, &at, inside, out));
      continue;
    }
    if (inside && (*at == '[' || (at[0] == '&' && at[1] == '&'))) {
      return rn_fail(
          err, RN_ERR_FORMAT,
          "the pattern has a class inside a class, or the operator &&, which is not supported");
    }
    if (!inside && *at == '[') {
      inside = true;
      opened = at[1] == '^' ? at + 2 : at + 1;
    } else if (inside && *at == ']' && at != opened) {
      inside = false;
    }
    RN_TRY(err, rn_text_add(err, out, at, 1));
    at++;
  }
  return RN_OK;
}
