#include "trainer/generate/completions.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/stream.h"
#include "proto/base/utf8.h"

/* ---- prompts ---- */

rn_status rn_completions_add(rn_err *err, rn_completions *completions, const void *prompt,
                             size_t bytes) {
  if (completions->count == completions->capacity) {
    const int capacity = completions->capacity > 0 ? 2 * completions->capacity : 4;
    rn_completion *grown = realloc(completions->text, (size_t)capacity * sizeof *grown);
    if (grown == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while reading prompts");
    completions->text = grown;
    completions->capacity = capacity;
  }
  unsigned char *copy = malloc(bytes > 0 ? bytes : 1);
  if (copy == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while reading a prompt");
  if (bytes > 0) memcpy(copy, prompt, bytes);
  completions->text[completions->count++] = (rn_completion){.prompt = {copy, bytes, bytes}};
  return RN_OK;
}

static const size_t max_file_bytes = (size_t)1 << 32;

rn_status rn_completions_add_file(rn_err *err, rn_completions *completions, const char *path) {
  void *file = NULL;
  size_t bytes = 0;
  RN_TRY(err, rn_stream_load(err, path, max_file_bytes, &file, &bytes));
  rn_status status = rn_completions_add(err, completions, file, bytes);
  free(file);
  return status;
}

rn_status rn_completions_add_lines(rn_err *err, rn_completions *completions, const char *path) {
  void *file = NULL;
  size_t bytes = 0;
  RN_TRY(err, rn_stream_load(err, path, max_file_bytes, &file, &bytes));
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
    free(completions->text[i].prompt.byte);
    free(completions->text[i].text.byte);
  }
  free(completions->text);
  *completions = (rn_completions){0};
}

bool rn_bytes_add(rn_bytes *bytes, const void *from, size_t count) {
  if (count > bytes->capacity - bytes->count) {
    size_t capacity = bytes->capacity > 0 ? bytes->capacity : 256;
    while (capacity - bytes->count < count) capacity *= 2;
    unsigned char *grown = realloc(bytes->byte, capacity);
    if (grown == NULL) return false;
    bytes->byte = grown;
    bytes->capacity = capacity;
  }
  if (count > 0) memcpy(bytes->byte + bytes->count, from, count);
  bytes->count += count;
  return true;
}

/* ---- output ---- */

static json_t *in_hex(const rn_bytes *bytes) {
  static const char digit[] = "0123456789abcdef";
  char *hex = malloc(2 * bytes->count + 1);
  if (hex == NULL) return NULL;
  for (size_t i = 0; i < bytes->count; i++) {
    hex[2 * i] = digit[bytes->byte[i] >> 4];
    hex[2 * i + 1] = digit[bytes->byte[i] & 15];
  }
  json_t *out = json_stringn(hex, 2 * bytes->count);
  free(hex);
  return out;
}

static json_t *repaired(const rn_bytes *bytes) {
  unsigned char *text = malloc(3 * bytes->count + 1);
  if (text == NULL) return NULL;
  json_t *out =
      json_stringn((const char *)text, rn_utf8_replace_invalid(bytes->byte, bytes->count, text));
  free(text);
  return out;
}

static void put_bytes(json_t *object, const char *key, const char *key_of_hex,
                      const rn_bytes *bytes) {
  json_object_set_new(object, key, repaired(bytes));
  if (rn_utf8_is_valid(bytes->byte, bytes->count)) return;
  json_object_set_new(object, key_of_hex, in_hex(bytes));
}

static json_t *object_of(const rn_completion *text) {
  json_t *object = json_object();
  put_bytes(object, "prompt", "prompt_hex", &text->prompt);
  put_bytes(object, "text", "text_hex", &text->text);
  json_object_set_new(object, "tokens", json_integer(text->tokens));
  json_object_set_new(object, "stop", json_string(text->ended ? "document" : "length"));
  return object;
}

void rn_completions_print_json(const rn_completions *completions) {
  json_t *whole;
  if (completions->count == 1) {
    whole = object_of(&completions->text[0]);
  } else {
    json_t *results = json_array();
    for (int i = 0; i < completions->count; i++)
      json_array_append_new(results, object_of(&completions->text[i]));
    whole = json_object();
    json_object_set_new(whole, "results", results);
  }
  json_dumpf(whole, stdout, JSON_COMPACT);
  printf("\n");
  json_decref(whole);
}

void rn_completions_print(const rn_completions *completions) {
  for (int i = 0; i < completions->count; i++) {
    const rn_completion *t = &completions->text[i];
    printf("%s==> %d <==\n", i > 0 ? "\n\n" : "", i + 1);
    fwrite(t->prompt.byte, 1, t->prompt.count, stdout);
    if (t->text.count > 0) fwrite(t->text.byte, 1, t->text.count, stdout);
  }
  printf("\n");
}
