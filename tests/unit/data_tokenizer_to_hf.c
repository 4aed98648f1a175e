/* Checks that a rank file and the tokenizer.json written from it give the same ids, and that
 * patterns keep their meaning in Oniguruma. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "data/tokenizer/hf_compose.h"
#include "data/tokenizer/tiktoken.h"
#include "data/tokenizer/tokenizer_file.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err err;

/* ---- patterns ---- */

static void patterns_are_translated(void) {
  static const char *const pairs[][2] = {
      {" ?\\p{L}++|a{2}|\\s+(?!\\S)", " ?\\p{L}++|a{2}|\\s+(?!\\S)"},
      {"\\p{N}{1,3}+|x", "(?>\\p{N}{1,3})|x"},
      {"[^]\\]a]{2,}+b", "(?>[^]\\]a]{2,})b"},
      {"(?:a|(b)){1,3}+", "(?>(?:a|(b)){1,3})"},
      {"a(?i:'s|'t){2}+b", "a(?>(?i:'s|'t){2})b"},
      {"\xc3\xa9{2}+", "(?>\xc3\xa9{2})"},
      {"^\\s++$|\\$[$^]", "\\A\\s++\\z|\\$[$^]"},
      {"(?<!x)(?<n>y){1}+(?i)z", "(?<!x)(?>(?<n>y){1})(?i)z"}};
  static const char *const bad[] = {"(a", "a)", "[a", "a{2", "(?:a"};
  for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
    rn_text out;
    if (!CHECK_OK(&err, rn_hf_pattern(&err, pairs[i][0], &out))) continue;
    if (!CHECK(strcmp(out.bytes, pairs[i][1]) == 0)) fprintf(stderr, "%s\n", out.bytes);
    rn_text_free(&out);
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    rn_text out;
    CHECK_FAILS(&err, RN_ERR_FORMAT, "brackets", rn_hf_pattern(&err, bad[i], &out));
  }
}

/* ---- ids ---- */

static Retnet__Tokenizer *read_file(const char *kind, const char *path) {
  char text[RN_PATH_BYTES + 16];
  Retnet__Tokenizer *file = NULL;
  snprintf(text, sizeof text, "%s:%s", kind, path);
  if (!CHECK_OK(&err, rn_tokenizer_file_read(&err, text, &file))) exit(1);
  return file;
}

static void write_text(const char *path, const char *text) {
  CHECK_OK(&err, rn_file_replace(&err, path, text, strlen(text)));
}

/* Encodes a text with both encoders; returns true if the ids are equal. */
static bool same_ids(rn_encoder *const encoder[2], const char *text, size_t count) {
  rn_tokens tokens[2] = {{0}};
  for (int i = 0; i < 2; i++) {
    CHECK_OK(&err, rn_encoder_encode(&err, encoder[i], text, count, &tokens[i]));
  }
  const bool same = tokens[0].count == tokens[1].count &&
                    (tokens[0].count == 0 ||
                     memcmp(tokens[0].id, tokens[1].id, tokens[0].count * sizeof(int32_t)) == 0);
  for (int i = 0; i < 2; i++) rn_tokens_free(&tokens[i]);
  return same;
}

static void compare_lines(rn_encoder *const encoder[2], const char *path) {
  FILE *lines = fopen(path, "rb");
  char *line = NULL;
  size_t capacity = 0;
  int count = 0, different = 0;
  while (lines != NULL && getline(&line, &capacity, lines) > 0) {
    json_t *object = json_loads(line, JSON_ALLOW_NUL, NULL);
    const json_t *text = json_object_get(object, "text");
    different += !same_ids(encoder, json_string_value(text), json_string_length(text));
    count++;
    json_decref(object);
  }
  CHECK(count >= 100);
  CHECK_EQUAL(different, 0);
  free(line);
  if (lines != NULL) fclose(lines);
}

static void compare_random_bytes(rn_encoder *const encoder[2]) {
  enum { BYTES = 256, TEXTS = 300 };
  char text[BYTES];
  uint32_t state = 1;
  int different = 0;
  for (int t = 0; t < TEXTS; t++) {
    for (int i = 0; i < BYTES; i++) {
      state = state * 1664525u + 1013904223u;
      text[i] = t % 3 == 0 ? (char)(state >> 24) : "aeiou tnhs"[(state >> 24) % 10];
    }
    different += !same_ids(encoder, text, BYTES);
  }
  CHECK_EQUAL(different, 0);
}

int main(int argc, char **argv) {
  const char *folder = argc > 1 ? argv[1] : ".";
  rn_hf_files texts;
  rn_tokenizer *tokenizer[2] = {NULL, NULL};
  rn_encoder *encoder[2];
  patterns_are_translated();
  Retnet__Tokenizer *file[2] = {
      read_file("tiktoken", rn_path_join(folder, "synthetic.tiktoken").text), NULL};
  CHECK_OK(&err, rn_tiktoken_to_hf(&err, file[0], &texts));
  write_text(temp_path("tokenizer.json"), texts.tokenizer);
  write_text(temp_path("tokenizer_config.json"), texts.config);
  rn_hf_files_free(&texts);
  file[1] = read_file("hf", temp_path("tokenizer.json"));
  for (int i = 0; i < 2; i++) {
    if (!CHECK_OK(&err, rn_tokenizer_create(&err, file[i], &tokenizer[i]))) return 1;
    CHECK_OK(&err, rn_encoder_create(&err, tokenizer[i], &encoder[i]));
  }
  CHECK_EQUAL(tokenizer[1]->document, tokenizer[0]->document);
  CHECK_EQUAL(tokenizer[1]->vocabulary, tokenizer[0]->vocabulary);
  compare_lines(encoder, rn_path_join(folder, "synthetic.jsonl").text);
  compare_lines(encoder, rn_path_join(folder, "ids.jsonl").text);
  compare_random_bytes(encoder);
  for (int i = 0; i < 2; i++) {
    rn_encoder_destroy(&encoder[i]);
    rn_tokenizer_destroy(&tokenizer[i]);
    rn_tokenizer_file_free(file[i]);
  }
  return check_result();
}
