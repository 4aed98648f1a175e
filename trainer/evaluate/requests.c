#include "trainer/evaluate/requests.h"

#include <ctype.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/json_text.h"
#include "data/file/stream.h"
#include "proto/base/arena.h"

typedef struct line_reader {
  const char *path;
  int64_t line;
  rn_encoder *encoder;
  int32_t begin;
  rn_requests *out;
} line_reader;

static rn_status refuse(rn_err *err, const line_reader *r, const char *what) {
  return rn_fail(err, RN_ERR_FORMAT, "%s, line %lld: %s", r->path, (long long)r->line, what);
}

static rn_status new_request(rn_err *err, rn_requests *list, rn_request **out) {
  RN_TRY(err, rn_grow(err, "requests", (size_t)list->count + 1, sizeof *list->request,
                      &list->request, &list->capacity));
  *out = &list->request[list->count++];
  **out = (rn_request){.first = (int64_t)list->tokens.count, .is_greedy = true};
  return RN_OK;
}

/* Returns the number of bytes of `text` without the white space at its end. */
static size_t without_space(const char *text, size_t count) {
  while (count > 0 && isspace((unsigned char)text[count - 1])) count--;
  return count;
}

/* Counts the tokens of the context alone. */
static rn_status count_context(rn_err *err, const line_reader *r, const char *text, size_t bytes,
                               int64_t *count) {
  rn_tokens tokens = {0};
  const rn_status status = rn_encoder_encode(err, r->encoder, text, bytes, &tokens);
  *count = (int64_t)tokens.count;
  rn_tokens_free(&tokens);
  return status;
}

/* Adds the request whose text is the context followed by the continuation. */
static rn_status add_request(rn_err *err, line_reader *r, const rn_text *text,
                             size_t context_bytes) {
  rn_request *request = NULL;
  int64_t context = 0;
  rn_tokens *tokens = &r->out->tokens;
  RN_TRY(err, new_request(err, r->out, &request));
  RN_TRY(err,
         count_context(err, r, text->bytes, without_space(text->bytes, context_bytes), &context));
  RN_TRY(err, rn_tokens_add(err, tokens, r->begin, 0));
  RN_TRY(err, rn_encoder_encode(err, r->encoder, text->bytes, text->count, tokens));
  const int64_t all = (int64_t)tokens->count - request->first - 1;
  request->tokens = all;
  request->counted = all > context ? all - context : 0;
  if (all > INT_MAX) return refuse(err, r, "context and continuation have too many tokens");
  return RN_OK;
}

/* Appends the string that is the value of `key` in an object. Sets *found to false if the object
 * lacks the key. */
static rn_status add_string(rn_err *err, const line_reader *r, const json_t *object,
                            const char *key, rn_text *text, bool *found) {
  const json_t *value = json_object_get(object, key);
  *found = value != NULL;
  if (value == NULL) return RN_OK;
  if (!json_is_string(value)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s, line %lld: \"%s\" is not a string", r->path,
                   (long long)r->line, key);
  }
  return rn_text_add(err, text, json_string_value(value), json_string_length(value));
}

static rn_status add_object(rn_err *err, line_reader *r, const json_t *object, rn_text *text) {
  bool has_context = false, found = false;
  if (!json_is_object(object)) return refuse(err, r, "not a JSON object");
  RN_TRY(err, add_string(err, r, object, "context", text, &has_context));
  const size_t context_bytes = text->count;
  RN_TRY(err, add_string(err, r, object, "continuation", text, &found));
  if (!found && !has_context) RN_TRY(err, add_string(err, r, object, "text", text, &found));
  if (!found) return refuse(err, r, "\"continuation\" or \"text\" is missing");
  RN_TRY(err, rn_text_add(err, text, "", 1)); /* allocates, so that text->bytes is not NULL */
  text->count--;
  return add_request(err, r, text, context_bytes);
}

static rn_status read_line(rn_err *err, line_reader *r, const char *line, size_t count) {
  json_error_t reason;
  rn_text text = {0};
  bool no_memory;
  if (without_space(line, count) == 0) return RN_OK;
  json_t *object =
      rn_json_parse(line, count, JSON_ALLOW_NUL | JSON_DECODE_ANY, &reason, &no_memory);
  if (no_memory) {
    return rn_fail(err, RN_ERR_MEMORY, "%s, line %lld: out of memory", r->path, (long long)r->line);
  }
  if (object == NULL) return refuse(err, r, reason.text);
  const rn_status status = add_object(err, r, object, &text);
  rn_text_free(&text);
  json_decref(object);
  return status;
}

static rn_status read_lines(rn_err *err, line_reader *r, const char *file, size_t bytes) {
  const char *line = file, *end = file + bytes;
  while (line < end) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    if (stop == NULL) stop = end;
    r->line++;
    RN_TRY(err, read_line(err, r, line, (size_t)(stop - line)));
    line = stop + (stop < end);
  }
  if (r->out->count > 0) return RN_OK;
  return rn_fail(err, RN_ERR_FORMAT, "%s contains no requests", r->path);
}

rn_status rn_requests_load(rn_err *err, const char *path, const rn_tokenizer *tokenizer,
                           int32_t begin, rn_requests *out) {
  static const size_t max_bytes = (size_t)1 << 30;
  line_reader r = {.path = path, .begin = begin, .out = out};
  void *file = NULL;
  size_t bytes = 0;
  rn_status status = rn_stream_load(err, path, max_bytes, &file, &bytes);
  if (status == RN_OK) status = rn_encoder_create(err, tokenizer, &r.encoder);
  if (status == RN_OK) status = read_lines(err, &r, file, bytes);
  rn_encoder_destroy(&r.encoder);
  free(file);
  return status;
}

void rn_requests_free(rn_requests *requests) {
  rn_tokens_free(&requests->tokens);
  free(requests->request);
  *requests = (rn_requests){.count = 0};
}
