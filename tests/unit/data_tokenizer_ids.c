/* Checks that token ids equal those of the reference implementations, and that decoding
 * byte-level BPE gives back every byte. */
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "data/file/file.h"
#include "data/tokenizer/tokenizer_file.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err err;
static const char *folder;

static rn_tokenizer *open_tokenizer(const char *kind, const char *path) {
  char text[RN_PATH_BYTES + 16];
  Retnet__Tokenizer *file = NULL;
  rn_tokenizer *tokenizer = NULL;
  snprintf(text, sizeof text, "%s:%s", kind, path);
  if (!CHECK_OK(&err, rn_tokenizer_file_read(&err, text, &file))) exit(1);
  if (!CHECK_OK(&err, rn_tokenizer_create(&err, file, &tokenizer))) exit(1);
  rn_tokenizer_file_free(file);
  return tokenizer;
}

static bool are_equal(const rn_tokens *got, const json_t *want) {
  bool equal = got->count == json_array_size(want);
  for (size_t i = 0; equal && i < got->count; i++) {
    equal = got->id[i] == json_integer_value(json_array_get(want, i));
  }
  return equal;
}

static bool comes_back(const rn_tokenizer *tokenizer, const rn_tokens *tokens, const char *text,
                       size_t count) {
  rn_text back = {0};
  size_t covered = 0;
  CHECK_OK(&err, rn_tokenizer_decode(&err, tokenizer, tokens->id, tokens->count, &back));
  for (size_t i = 0; i < tokens->count; i++) covered += tokens->text_bytes[i];
  const bool same = covered == count && back.count == count &&
                    (count == 0 || memcmp(back.bytes, text, count) == 0);
  rn_text_free(&back);
  return same;
}

/* Checks all lines of a file. The array `key` of a line has the expected ids. */
static void ids_are(const rn_tokenizer *tokenizer, const char *name, const char *key,
                    int at_least) {
  FILE *lines = fopen(rn_path_join(folder, name).text, "rb");
  char *line = NULL;
  size_t capacity = 0;
  int count = 0, wrong = 0, lost = 0;
  rn_encoder *encoder = NULL;
  CHECK_OK(&err, rn_encoder_create(&err, tokenizer, &encoder));
  while (lines != NULL && getline(&line, &capacity, lines) > 0) {
    json_t *object = json_loads(line, JSON_ALLOW_NUL, NULL);
    const json_t *text = json_object_get(object, "text"), *want = json_object_get(object, key);
    rn_tokens tokens = {0};
    if (want != NULL) {
      const size_t length = json_string_length(text);
      CHECK_OK(&err, rn_encoder_encode(&err, encoder, json_string_value(text), length, &tokens));
      count++;
      wrong += !are_equal(&tokens, want);
      lost +=
          tokenizer->lossless && !comes_back(tokenizer, &tokens, json_string_value(text), length);
    }
    rn_tokens_free(&tokens);
    json_decref(object);
  }
  CHECK_EQUAL(wrong, 0);
  CHECK_EQUAL(lost, 0);
  CHECK(count >= at_least);
  rn_encoder_destroy(&encoder);
  free(line);
  if (lines != NULL) fclose(lines);
}

/* Decompresses the tokenizer.json; returns its path. */
static rn_path unpacked_json(void) {
  void *packed = NULL;
  size_t bytes = 0;
  const rn_path from = rn_path_join(folder, "llama3_10k.tokenizer.json.zst");
  const rn_path to = rn_path_join(temp_folder(), "llama3_10k.json");
  CHECK_OK(&err, rn_file_load(&err, from.text, 1 << 24, &packed, &bytes));
  const size_t capacity = 1 << 22;
  char *raw = malloc(capacity);
  const size_t count = ZSTD_decompress(raw, capacity, packed, bytes);
  CHECK(!ZSTD_isError(count));
  CHECK_OK(&err, rn_file_replace(&err, to.text, raw, count));
  free(raw);
  free(packed);
  return to;
}

/* Random bytes are mostly invalid UTF-8. Each invalid byte must be encoded as U+FFFD. */
static void random_bytes_come_back(const rn_tokenizer *tokenizer) {
  enum { BYTES = 512, TEXTS = 200 };
  char text[BYTES];
  uint32_t state = 1;
  int lost = 0;
  rn_encoder *encoder = NULL;
  rn_tokens tokens = {0};
  CHECK_OK(&err, rn_encoder_create(&err, tokenizer, &encoder));
  for (int t = 0; t < TEXTS; t++) {
    for (int i = 0; i < BYTES; i++) {
      state = state * 1664525u + 1013904223u;
      text[i] = t % 2 == 0 ? (char)(state >> 24) : " \n1a\xc3\xa9\xe2\x80"[state >> 29];
    }
    tokens.count = 0;
    CHECK_OK(&err, rn_encoder_encode(&err, encoder, text, BYTES, &tokens));
    lost += !comes_back(tokenizer, &tokens, text, BYTES);
  }
  CHECK_EQUAL(lost, 0);
  rn_tokens_free(&tokens);
  rn_encoder_destroy(&encoder);
}

/* Merging in quadratic time would take minutes, so that this test would time out. */
static void a_word_of_a_million_letters_is_encoded(const rn_tokenizer *tokenizer) {
  const size_t count = 1000000;
  char *text = malloc(count);
  uint32_t state = 1;
  rn_encoder *encoder = NULL;
  rn_tokens tokens = {0};
  for (size_t i = 0; i < count; i++) {
    state = state * 1664525u + 1013904223u;
    text[i] = (char)('a' + (state >> 24) % 26);
  }
  CHECK_OK(&err, rn_encoder_create(&err, tokenizer, &encoder));
  CHECK_OK(&err, rn_encoder_encode(&err, encoder, text, count, &tokens));
  CHECK(comes_back(tokenizer, &tokens, text, count));
  rn_tokens_free(&tokens);
  rn_encoder_destroy(&encoder);
  free(text);
}

/* Encoding a text in two pieces, split at rn_tokenizer_cut, gives the same ids as encoding all of
 * it at once, wherever the text ends. */
static void cuts_change_nothing(const rn_tokenizer *tokenizer) {
  static const char text[] =
      "It's  the 1st\n\n  \xc3\xa9t\xc3\xa9 \xe0\xa4\xb9\xe0\xa4\xbf  42 //\n/ \t x  y z\xff w\n";
  rn_encoder *encoder = NULL;
  CHECK_OK(&err, rn_encoder_create(&err, tokenizer, &encoder));
  int cuts = 0;
  for (size_t count = 1; count < sizeof text; count++) {
    rn_tokens whole = {0}, pieces = {0};
    const size_t cut = rn_tokenizer_cut(tokenizer, text, count);
    CHECK_OK(&err, rn_encoder_encode(&err, encoder, text, count, &whole));
    CHECK_OK(&err, rn_encoder_encode(&err, encoder, text, cut, &pieces));
    CHECK_OK(&err, rn_encoder_encode(&err, encoder, text + cut, count - cut, &pieces));
    CHECK(whole.count == pieces.count &&
          memcmp(whole.id, pieces.id, whole.count * sizeof *whole.id) == 0);
    cuts += cut > 0;
    rn_tokens_free(&whole);
    rn_tokens_free(&pieces);
  }
  CHECK(cuts > 10);
  rn_encoder_destroy(&encoder);
}

static void special_tokens_are_text_unless_allowed(const rn_tokenizer *tokenizer) {
  static const char text[] = "a<|end_of_text|>b";
  rn_encoder *encoder = NULL;
  rn_tokens plain = {0}, allowed = {0};
  CHECK_OK(&err, rn_encoder_create(&err, tokenizer, &encoder));
  CHECK_OK(&err, rn_encoder_encode(&err, encoder, text, sizeof text - 1, &plain));
  CHECK_FAILS(&err, RN_ERR_USAGE, "<|other|>", rn_encoder_allow(&err, encoder, "<|other|>"));
  CHECK_OK(&err, rn_encoder_allow(&err, encoder, "<|end_of_text|>"));
  CHECK_OK(&err, rn_encoder_encode(&err, encoder, text, sizeof text - 1, &allowed));
  CHECK_EQUAL(allowed.count, 3);
  CHECK_EQUAL(allowed.id[1], 10001);
  CHECK(plain.count > 3);
  for (size_t i = 0; i < plain.count; i++) CHECK(plain.id[i] < 10000);
  CHECK_EQUAL(tokenizer->document, 10001);
  CHECK(comes_back(tokenizer, &allowed, text, sizeof text - 1));
  rn_tokens_free(&plain);
  rn_tokens_free(&allowed);
  rn_encoder_destroy(&encoder);
}

static void spm_ids(const char *model) {
  char name[64];
  snprintf(name, sizeof name, "%s.model", model);
  rn_tokenizer *tokenizer = open_tokenizer("spm", rn_path_join(folder, name).text);
  ids_are(tokenizer, "ids.jsonl", model, 100);
  rn_tokenizer_destroy(&tokenizer);
}

int main(int argc, char **argv) {
  folder = argc > 1 ? argv[1] : ".";
  rn_tokenizer *ranks = open_tokenizer("tiktoken", rn_path_join(folder, "synthetic.tiktoken").text);
  ids_are(ranks, "synthetic.jsonl", "ids", 100);
  CHECK_EQUAL(ranks->document, 2500);
  const int32_t gap = 2000;
  rn_text none = {0};
  if (!rn_tokenizer_has(ranks, gap)) {
    CHECK_FAILS(&err, RN_ERR_FORMAT, "2000", rn_tokenizer_decode(&err, ranks, &gap, 1, &none));
  }
  random_bytes_come_back(ranks);
  rn_tokenizer *json = open_tokenizer("hf", unpacked_json().text);
  ids_are(json, "ids.jsonl", "llama3_10k", 500);
  random_bytes_come_back(json);
  cuts_change_nothing(json);
  special_tokens_are_text_unless_allowed(json);
  a_word_of_a_million_letters_is_encoded(json);
  rn_tokenizer_destroy(&ranks);
  rn_tokenizer_destroy(&json);
#ifdef RN_HAS_SENTENCEPIECE
  spm_ids("bpe1000_identity_bytes_digits");
  spm_ids("bpe2000_identity_unk");
#else
  (void)spm_ids;
  printf("not checked: sentencepiece, which this build does not have\n");
#endif
  return check_result();
}
