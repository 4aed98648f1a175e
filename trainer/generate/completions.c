#include "trainer/generate/completions.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/stream.h"
#include "proto/base/arena.h"
#include "proto/base/utf8.h"

/* ---- prompts ---- */

rn_status rn_completions_add(rn_err *err, rn_completions *completions, const void *prompt,
                             size_t bytes) {
  RN_TRY(err, rn_grow(err, "prompts", (size_t)completions->count + 1, sizeof *completions->text,
                      &completions->text, &completions->capacity));
  rn_completion *added = &completions->text[completions->count++];
  *added = (rn_completion){.tokens = 0};
  return rn_text_add(err, &added->prompt, prompt, bytes);
}

rn_status rn_completions_add_file(rn_err *err, rn_completions *completions, const char *path) {
  void *file = NULL;
  size_t bytes = 0;
  RN_TRY(err, rn_stream_load(err, path, RN_MAX_PROMPT_BYTES, &file, &bytes));
  rn_status status = rn_completions_add(err, completions, file, bytes);
  free(file);
  return status;
}

rn_status rn_completions_add_lines(rn_err *err, rn_completions *completions, const char *path) {
  void *file = NULL;
  size_t bytes = 0;
  RN_TRY(err, rn_stream_load(err, path, RN_MAX_PROMPT_BYTES, &file, &bytes));
  const char *line = file, *end = line + bytes;
  rn_status status = RN_OK;
  while (status == RN_OK && line < end) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    const char *next = stop != NULL ? stop + 1 : end;
    if (stop == NULL) stop = end;
    if (stop > line && stop[-1] == '\r') stop--;
    if (stop > line) status = rn_completions_add(err, completions, line, (size_t)(stop - line));
    line = next;
  }
  free(file);
  return status;
}

void rn_completions_destroy(rn_completions *completions) {
  for (int i = 0; i < completions->count; i++) {
    rn_text_free(&completions->text[i].prompt);
    rn_text_free(&completions->text[i].text);
  }
  free(completions->text);
  *completions = (rn_completions){0};
}

/* ---- text ---- */

rn_status rn_completion_append(rn_err *err, rn_completion *completion, rn_stop_strings stops,
                               const void *bytes, size_t count) {
  rn_text *text = &completion->text;
  const size_t before = text->count, longest = rn_stop_strings_longest(stops);
  RN_TRY(err, rn_text_add(err, text, bytes, count));
  const size_t end = rn_stop_strings_find(stops, text->bytes, text->count,
                                          before > longest ? before - longest : 0);
  if (end == text->count) return RN_OK;
  text->count = end;
  completion->stop = RN_STOP_STRING;
  completion->complete = true;
  return RN_OK;
}

/* ---- output ---- */

static json_t *in_hex(const rn_text *text) {
  static const char digit[] = "0123456789abcdef";
  char *hex = malloc(2 * text->count + 1);
  if (hex == NULL) return NULL;
  for (size_t i = 0; i < text->count; i++) {
    const unsigned char byte = (unsigned char)text->bytes[i];
    hex[2 * i] = digit[byte >> 4];
    hex[2 * i + 1] = digit[byte & 15];
  }
  json_t *out = json_stringn(hex, 2 * text->count);
  free(hex);
  return out;
}

static const unsigned char *bytes_of(const rn_text *text) {
  return (const unsigned char *)text->bytes;
}

static json_t *repaired(const rn_text *text) {
  unsigned char *copy = malloc(3 * text->count + 1);
  if (copy == NULL) return NULL;
  json_t *out =
      json_stringn((const char *)copy, rn_utf8_replace_invalid(bytes_of(text), text->count, copy));
  free(copy);
  return out;
}

/* If memory runs out, put_text returns a nonzero value, and object_of and object_of_all return
 * NULL.
 */
static int put_text(json_t *object, const char *key, const char *key_of_hex, const rn_text *text) {
  const int failed = json_object_set_new(object, key, repaired(text));
  if (rn_utf8_is_valid(bytes_of(text), text->count)) return failed;
  return failed | json_object_set_new(object, key_of_hex, in_hex(text));
}

static json_t *object_of(const rn_completion *completion) {
  static const char *const stops[] = {[RN_STOP_LENGTH] = "length",
                                      [RN_STOP_DOCUMENT] = "document",
                                      [RN_STOP_STRING] = "string",
                                      [RN_STOP_SIGNAL] = "signal"};
  json_t *object = json_object();
  int failed = put_text(object, "prompt", "prompt_hex", &completion->prompt);
  failed |= put_text(object, "text", "text_hex", &completion->text);
  failed |= json_object_set_new(object, "tokens", json_integer(completion->tokens));
  failed |= json_object_set_new(object, "stop", json_string(stops[completion->stop]));
  if (failed == 0) return object;
  json_decref(object);
  return NULL;
}

static json_t *object_of_all(const rn_completions *completions) {
  json_t *results = json_array();
  int failed = 0;
  for (int i = 0; i < completions->count; i++)
    failed |= json_array_append_new(results, object_of(&completions->text[i]));
  if (failed == 0) return json_pack("{s:o}", "results", results);
  json_decref(results);
  return NULL;
}

rn_status rn_completions_print_json(rn_err *err, const rn_completions *completions) {
  json_t *whole =
      completions->count == 1 ? object_of(&completions->text[0]) : object_of_all(completions);
  char *text = whole != NULL ? json_dumps(whole, JSON_COMPACT) : NULL;
  json_decref(whole);
  if (text == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while printing the texts");
  printf("%s\n", text);
  free(text);
  return RN_OK;
}

static size_t certain_bytes(const rn_completion *c, rn_stop_strings stops) {
  if (c->complete) return c->text.count;
  const size_t open = rn_utf8_open_end(bytes_of(&c->text), c->text.count);
  const size_t held = rn_stop_strings_open_end(stops, c->text.bytes, c->text.count);
  return c->text.count - (open > held ? open : held);
}

/* Prints the first `count` bytes, and removes them. */
static void print_front(rn_text *text, size_t count) {
  if (count == 0) return;
  fwrite(text->bytes, 1, count, stdout);
  memmove(text->bytes, text->bytes + count, text->count - count);
  text->count -= count;
}

static void begin_text(const rn_completions *completions, int index) {
  const rn_text *prompt = &completions->text[index].prompt;
  if (completions->count > 1) printf("%s==> %d <==\n", index > 0 ? "\n\n" : "", index + 1);
  if (prompt->count > 0) fwrite(prompt->bytes, 1, prompt->count, stdout);
}

bool rn_completions_stream(rn_completions *completions, rn_stop_strings stops,
                           rn_completions_printed *printed) {
  for (; printed->completion < completions->count; printed->completion++) {
    rn_completion *c = &completions->text[printed->completion];
    if (!printed->begun) begin_text(completions, printed->completion);
    printed->begun = true;
    print_front(&c->text, certain_bytes(c, stops));
    if (!c->complete) break;
    printed->begun = false;
    if (completions->count > 1 && printed->completion == completions->count - 1) printf("\n");
  }
  return fflush(stdout) == 0;
}
