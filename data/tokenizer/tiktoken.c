#include "data/tokenizer/tiktoken.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "data/tokenizer/file_content.h"

/* The time to read a token grows with the square of its length (rn_bpe_add_all_splits). */
enum { MAX_TOKEN_BYTES = 4096 };

/* Returns the value of a base64 digit, or -1. */
static int digit_of(char c) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *at = c != '\0' ? strchr(digits, c) : NULL;
  return at != NULL ? (int)(at - digits) : -1;
}

/* Decodes base64 with padding in place; returns the number of bytes, or 0 if it is malformed. */
static size_t decode_base64(char *text, size_t length) {
  size_t padding = 0, out = 0;
  if (length == 0 || length % 4 != 0) return 0;
  while (padding < 2 && text[length - 1 - padding] == '=') padding++;
  uint32_t bits = 0;
  for (size_t i = 0; i < length; i++) {
    const int digit = i < length - padding ? digit_of(text[i]) : 0;
    if (digit < 0) return 0;
    bits = bits << 6 | (uint32_t)digit;
    if (i % 4 != 3) continue;
    for (int shift = 16; shift >= 0; shift -= 8) text[out++] = (char)(bits >> shift & 0xff);
    bits = 0;
  }
  return out - padding;
}

/* Reads a decimal rank; returns -1 unless all bytes are digits and the rank is in range. */
static int64_t rank_of(const char *text, size_t length) {
  int64_t rank = 0;
  if (length == 0 || length > 9) return -1;
  for (size_t i = 0; i < length; i++) {
    if (text[i] < '0' || text[i] > '9') return -1;
    rank = 10 * rank + (text[i] - '0');
  }
  return rank < RN_TOKEN_IDS ? rank : -1;
}

static rn_status read_line(rn_err *err, char *line, size_t length, rn_token_table *table) {
  char *space = memchr(line, ' ', length);
  const size_t token_length = space != NULL ? (size_t)(space - line) : length;
  if (space == NULL) {
    return rn_fail(err, RN_ERR_FORMAT, "expected a token in base64, a space and its rank");
  }
  const int64_t rank = rank_of(space + 1, length - token_length - 1);
  if (rank < 0) {
    return rn_fail(err, RN_ERR_FORMAT, "the rank is not a number from 0 to %d", RN_TOKEN_IDS - 1);
  }
  const size_t count = decode_base64(line, token_length);
  if (count == 0) return rn_fail(err, RN_ERR_FORMAT, "the token is not valid base64");
  if (count > MAX_TOKEN_BYTES) {
    return rn_fail(err, RN_ERR_FORMAT, "the token has more than %d bytes", MAX_TOKEN_BYTES);
  }
  return rn_token_table_add(err, table, rank, RN_TOKEN_TEXT, line, count);
}

static rn_status read_ranks(rn_err *err, const Retnet__Tokenizer *file, char *text,
                            rn_token_table *table) {
  char *end = text + file->content.len;
  long long number = 0;
  for (char *line = text; line < end;) {
    char *stop = memchr(line, '\n', (size_t)(end - line));
    char *next = stop != NULL ? stop + 1 : end;
    if (stop == NULL) stop = end;
    if (stop > line && stop[-1] == '\r') stop--;
    number++;
    rn_err inner = {0};
    if (stop > line && read_line(&inner, line, (size_t)(stop - line), table) != RN_OK) {
      return rn_fail(err, inner.status, "%s:%lld: %s", file->file_name, number, inner.text);
    }
    line = next;
  }
  return RN_OK;
}

static rn_status add_specials(rn_err *err, const Retnet__Tokenizer *file, const json_t *settings,
                              rn_token_table *table) {
  const char *name;
  json_t *id;
  json_object_foreach((json_t *)json_object_get(settings, "special_tokens"), name, id) {
    rn_err inner = {0};
    const rn_status status = json_is_integer(id)
                                 ? rn_token_table_add(&inner, table, json_integer_value(id),
                                                      RN_TOKEN_SPECIAL, name, strlen(name))
                                 : rn_fail(&inner, RN_ERR_FORMAT, "its id is not an integer");
    if (status != RN_OK) {
      return rn_fail(err, status, "%s: special token %s: %s", file->file_name, name, inner.text);
    }
  }
  return RN_OK;
}

/* Sets *document to the id of end_of_text (by default <|endoftext|>), or to -1 if there is none. */
static rn_status find_document(rn_err *err, const Retnet__Tokenizer *file, const json_t *settings,
                               int32_t *document) {
  const json_t *end = json_object_get(settings, "end_of_text");
  const char *name = json_is_string(end) ? json_string_value(end) : "<|endoftext|>";
  const json_t *id = json_object_get(json_object_get(settings, "special_tokens"), name);
  *document = json_is_integer(id) ? (int32_t)json_integer_value(id) : -1;
  if (id != NULL || !json_is_string(end)) return RN_OK;
  return rn_fail(err, RN_ERR_FORMAT, "%s: end_of_text %s is not one of special_tokens",
                 file->file_name, name);
}

static rn_status fill(rn_err *err, const Retnet__Tokenizer *file, const json_t *settings,
                      rn_bpe_tokenizer *bpe) {
  rn_token_table *table = rn_bpe_tokenizer_table(bpe);
  rn_bpe *merges = rn_bpe_tokenizer_merges(bpe);
  char *text = malloc(file->content.len + 1);
  if (text == NULL) return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", file->file_name);
  memcpy(text, file->content.data, file->content.len);
  rn_status status = read_ranks(err, file, text, table);
  free(text);
  if (status == RN_OK) status = add_specials(err, file, settings, table);
  if (status != RN_OK) return status;
  rn_err inner = {0};
  merges->whole_first = true;
  status = rn_bpe_set_tokens(&inner, merges, table);
  if (status == RN_OK) status = rn_bpe_add_all_splits(&inner, merges);
  return status == RN_OK ? RN_OK : rn_tokenizer_fail_at(err, file->file_name, &inner);
}

static rn_status fill_all(rn_err *err, const Retnet__Tokenizer *file, rn_tiktoken *out) {
  const char *pattern = json_string_value(json_object_get(out->settings, "pattern"));
  rn_err inner = {0};
  if (pattern == NULL) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: its settings have no pattern", file->file_name);
  }
  RN_TRY(err, find_document(err, file, out->settings, &out->document));
  if (rn_bpe_tokenizer_create(&inner, pattern, &out->bpe) != RN_OK) {
    return rn_tokenizer_fail_at(err, file->file_name, &inner);
  }
  return fill(err, file, out->settings, out->bpe);
}

rn_status rn_tiktoken_load(rn_err *err, const Retnet__Tokenizer *file, rn_tiktoken *out) {
  const char *text = file->settings != NULL ? file->settings : "";
  *out = (rn_tiktoken){.document = -1};
  RN_TRY(err, rn_tokenizer_parse(err, file->file_name, text, strlen(text), &out->settings));
  return fill_all(err, file, out);
}

void rn_tiktoken_unload(rn_tiktoken *t) {
  json_decref(t->settings);
  rn_bpe_tokenizer_destroy(&t->bpe);
}

rn_status rn_tiktoken_create(rn_err *err, const Retnet__Tokenizer *file, const char *name,
                             uint64_t hash, rn_tokenizer **out) {
  rn_tiktoken t;
  rn_status status = rn_tiktoken_load(err, file, &t);
  if (status == RN_OK) status = rn_bpe_tokenizer_finish(err, &t.bpe, name, hash, t.document, out);
  rn_tiktoken_unload(&t);
  return status;
}
