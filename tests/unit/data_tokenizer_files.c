/* Checks that a damaged or malicious tokenizer file is refused with a message that names it, and
 * that a packed tokenizer is identified by its hash. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/file.h"
#include "data/tokenizer/content_kind.h"
#include "data/tokenizer/tokenizer_file.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"

static rn_err err;
static rn_path scratch;

static rn_path write_file(const char *name, const char *text) {
  const rn_path path = rn_path_join(scratch.text, name);
  CHECK_OK(&err, rn_file_replace(&err, path.text, text, strlen(text)));
  return path;
}

/* Reads a tokenizer file and creates its tokenizer; returns the status of the first failure. */
static rn_status open_named(const char *kind, const char *path) {
  char text[RN_PATH_BYTES + 16];
  Retnet__Tokenizer *file = NULL;
  rn_tokenizer *tokenizer = NULL;
  snprintf(text, sizeof text, "%s:%s", kind, path);
  rn_status status = rn_tokenizer_file_read(&err, text, &file);
  if (status == RN_OK) status = rn_tokenizer_create(&err, file, &tokenizer);
  rn_tokenizer_destroy(&tokenizer);
  rn_tokenizer_file_free(file);
  return status;
}

static const char settings[] =
    "{\"pattern\": \"\\\\p{L}+|\\\\P{L}\", \"special_tokens\": {\"<|endoftext|>\": 300}}";

/* Writes a file with the ranks of all single bytes, followed by `more`. */
static rn_path write_ranks(const char *more) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char text[8192] = "";
  size_t used = 0;
  for (int i = 0; i < 256; i++) {
    used += (size_t)snprintf(text + used, sizeof text - used, "%c%c== %d\n", digits[i >> 2],
                             digits[(i & 3) << 4], i);
  }
  snprintf(text + used, sizeof text - used, "%s", more);
  return write_file("ranks.tiktoken", text);
}

static void bad_rank_files_are_refused(void) {
  static const char *const bad[][2] = {
      {"YWI=\n", "ranks.tiktoken:257|base64"}, {"YW* 256\n", "ranks.tiktoken:257|base64"},
      {"YWI 256\n", "valid base64"},           {"=WI= 256\n", "valid base64"},
      {"YWI= 25x\n", "not a number"},          {"YWI= -1\n", "not a number"},
      {"YWI= 99999999\n", "not a number"},     {"YWI= 255\n", "two tokens have the id 255"},
      {"YQ== 256\n", "have the same bytes"},   {" 256\n", "valid base64"},
      {"YWI= 300\n", "<|endoftext|>|300"}};
  write_file("ranks.json", settings);
  CHECK_OK(&err, open_named("tiktoken", write_ranks("\nYWI= 280\r\n").text));
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    CHECK_FAILS(&err, RN_ERR_FORMAT, bad[i][1],
                open_named("tiktoken", write_ranks(bad[i][0]).text));
  }
  CHECK_FAILS(&err, RN_ERR_FORMAT, "single byte 0x",
              open_named("tiktoken", write_file("ranks.tiktoken", "YQ== 0\n").text));
  CHECK_FAILS(&err, RN_ERR_FORMAT, "is empty",
              open_named("tiktoken", write_file("ranks.tiktoken", "").text));
}

static void bad_settings_are_refused(void) {
  static const char *const bad[][2] = {
      {"{\"pattern\": \"a\"}", "special_tokens"},
      {"{\"special_tokens\": {}}", "pattern"},
      {"{\"pattern\": \"(\", \"special_tokens\": {}}", "PCRE2"},
      {"{\"pattern\": \"[a[b]]\", \"special_tokens\": {}}", "class inside a class"},
      {"{\"pattern\": \"a\", \"special_tokens\": {\"<e>\": 1.5}}", "<e>|integer"},
      {"{\"pattern\": \"a\", \"special_tokens\": {\"<e>\": 7}}", "<e>|7"},
      {"{\"pattern\": \"a\", \"special_tokens\": {}, \"end_of_text\": \"<e>\"}", "<e>"},
      {"{\"pattern\": \"a\"", "invalid JSON"}};
  const rn_path ranks = write_ranks("");
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    write_file("ranks.json", bad[i][0]);
    CHECK_FAILS(&err, RN_ERR_FORMAT, bad[i][1], open_named("tiktoken", ranks.text));
  }
  CHECK_OK(&err, rn_file_remove_tree(&err, rn_path_join(scratch.text, "ranks.json").text));
  CHECK_FAILS(&err, RN_ERR_NOT_FOUND, "ranks.json", open_named("tiktoken", ranks.text));
}

static void bad_json_is_refused(void) {
  static const char *const bad[][2] = {
      {"{\"model\": {", "invalid JSON"},
      {"[]", "model type"},
      {"{\"model\": {\"type\": \"WordPiece\"}}", "model type|WordPiece"},
      {"{\"model\": {\"type\": \"BPE\"}, \"normalizer\": {\"type\": \"NFC\"}}", "normalizer|NFC"},
      {"{\"model\": {\"type\": \"BPE\"}, \"pre_tokenizer\": {\"type\": \"Metaspace\"}}",
       "pre_tokenizer|Metaspace"},
      {"{\"model\": {\"type\": \"BPE\", \"byte_fallback\": true}}", "byte_fallback"},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"a\": 1}}}", "duplicate"},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": []}, "
       "\"pre_tokenizer\": {\"type\": \"ByteLevel\"}}",
       "single byte"},
      {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"\xe2\x96\x81\": 0}}, "
       "\"pre_tokenizer\": {\"type\": \"ByteLevel\"}}",
       "alphabet"}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    CHECK_FAILS(&err, RN_ERR_FORMAT, bad[i][1],
                open_named("hf", write_file("bad.json", bad[i][0]).text));
  }
  CHECK_FAILS(&err, RN_ERR_NOT_FOUND, "tokenizer.json", open_named("hf", scratch.text));
}

static void bad_models_are_refused(const char *folder) {
#ifdef RN_HAS_SENTENCEPIECE
  void *bytes = NULL;
  size_t count = 0;
  const rn_path good = rn_path_join(folder, "bpe1000_identity_bytes_digits.model");
  const rn_path cut = rn_path_join(scratch.text, "cut.model");
  CHECK_OK(&err, open_named("spm", good.text));
  CHECK_OK(&err, rn_file_load(&err, good.text, 1 << 20, &bytes, &count));
  for (size_t length = 1; length < count; length += count / 7) {
    CHECK_OK(&err, rn_file_replace(&err, cut.text, bytes, length));
    CHECK_FAILS(&err, RN_ERR_FORMAT, "cut.model", open_named("spm", cut.text));
  }
  CHECK_FAILS(&err, RN_ERR_FORMAT, "ranks.tiktoken", open_named("spm", write_ranks("").text));
  free(bytes);
#else
  (void)folder;
  printf("not checked: sentencepiece, which this build does not have\n");
#endif
}

/* Copies a file of the folder of golden tokenizers to `name`. */
static rn_path copy_of(const char *folder, const char *from, const char *name) {
  const rn_path path = rn_path_join(scratch.text, name);
  void *bytes = NULL;
  size_t count = 0;
  CHECK_OK(&err, rn_file_load(&err, rn_path_join(folder, from).text, 1 << 24, &bytes, &count));
  CHECK_OK(&err, rn_file_replace(&err, path.text, bytes, count));
  free(bytes);
  return path;
}

/* A file with the prefix of another kind is named for what it is, with the prefix to use. */
static void a_wrong_prefix_is_named(const char *folder) {
  static const char *const prefixes[] = {"hf", "tiktoken", "spm"};
  static const char *const files[][3] = {
      {"hf", "synthetic.json", "looks like JSON|use hf:"},
      {"tiktoken", "synthetic.tiktoken", "looks like a rank file of tiktoken; use tiktoken:"},
      {"spm", "bpe1000_identity_bytes_digits.model", "looks like a sentencepiece model; use spm:"},
      {"spm", "bpe2000_identity_unk.model", "looks like a sentencepiece model; use spm:"},
      {"none", "llama3_10k.tokenizer.json.zst", "compressed with zstd; decompress it first"}};
  for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
    const rn_path path = copy_of(folder, files[f][1], "some file");
    for (size_t p = 0; p < sizeof prefixes / sizeof *prefixes; p++) {
      if (strcmp(prefixes[p], files[f][0]) == 0) continue;
      CHECK_FAILS(&err, RN_ERR_FORMAT, files[f][2], open_named(prefixes[p], path.text));
      CHECK_FAILS(&err, RN_ERR_FORMAT, "some file", open_named(prefixes[p], path.text));
    }
  }
  const rn_path gzip = write_file("some file", "\x1f\x8b\x08");
  CHECK_FAILS(&err, RN_ERR_FORMAT, "some file is compressed with gzip",
              open_named("spm", gzip.text));
  const rn_path merges = write_file("some file", "#version: 0.2\nh e\n");
  CHECK_FAILS(&err, RN_ERR_FORMAT, "looks like the merges|use hf:DIR",
              open_named("hf", merges.text));
  write_file("vocab.json", "{}");
  copy_of(folder, "llama3_10k.tokenizer.json.zst", "merges.txt");
  CHECK_FAILS(&err, RN_ERR_FORMAT, "merges.txt is compressed with zstd",
              open_named("hf", rn_path_join(scratch.text, "vocab.json").text));
  write_file("merges.txt", "0000 0000\n"); /* like a rank file, but a text of merges may be so */
  CHECK_FAILS(&err, RN_ERR_FORMAT, "tokenizer.json|byte",
              open_named("hf", rn_path_join(scratch.text, "vocab.json").text));
}

/* A file that only begins like one of another kind is read as what its prefix says. */
static void a_right_prefix_is_believed(void) {
  static const struct {
    const char *bytes;
    rn_content_kind kind;
  } files[] = {{"\n\t{\n\t\"a\": 1}", RN_CONTENT_JSON},
               {"\n{\n\t\"a\": 1}", RN_CONTENT_JSON},
               {"\n\x0d\n\x09{\"a\": 1.5\x15", RN_CONTENT_SENTENCEPIECE},
               {"\n\n\nYQ== 0\n", RN_CONTENT_UNKNOWN},
               {"\n\x0e\n\x05<unk>\x15", RN_CONTENT_SENTENCEPIECE},
               {"\n\x0e\n\x05<unk>", RN_CONTENT_UNKNOWN},
               {"YQ== 0", RN_CONTENT_RANKS},
               {"YQ 0\n", RN_CONTENT_UNKNOWN},
               {"YQ== x\n", RN_CONTENT_UNKNOWN},
               {"YQ==", RN_CONTENT_UNKNOWN},
               {"a b\n", RN_CONTENT_UNKNOWN},
               {" \n", RN_CONTENT_UNKNOWN},
               {"", RN_CONTENT_UNKNOWN}};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    if (!CHECK_EQUAL(rn_content_kind_of(files[i].bytes, strlen(files[i].bytes)), files[i].kind)) {
      fprintf(stderr, "  file %zu\n", i);
    }
  }
}

static void a_packed_tokenizer_is_known_by_its_hash(void) {
  char text[RN_PATH_BYTES + 16];
  Retnet__Tokenizer *file = NULL, *back = NULL;
  void *packed = NULL;
  size_t bytes = 0;
  write_file("ranks.json", settings);
  snprintf(text, sizeof text, "tiktoken:%s", write_ranks("YWI= 280\n").text);
  if (!CHECK_OK(&err, rn_tokenizer_file_read(&err, text, &file))) return;
  const uint64_t hash = rn_tokenizer_file_hash(file);
  CHECK_OK(&err, rn_tokenizer_file_pack(&err, file, &packed, &bytes));
  CHECK_OK(&err, rn_tokenizer_file_unpack(&err, "here", packed, bytes, hash, &back));
  CHECK(strcmp(back->file_name, "ranks.tiktoken") == 0);
  CHECK_EQUAL(rn_tokenizer_file_hash(back), hash);
  rn_tokenizer_file_free(back);
  CHECK_FAILS(&err, RN_ERR_FORMAT, "here|hash",
              rn_tokenizer_file_unpack(&err, "here", packed, bytes, hash + 1, &back));
  CHECK_FAILS(&err, RN_ERR_FORMAT, "here",
              rn_tokenizer_file_unpack(&err, "here", packed, bytes - 3, hash, &back));
  free(packed);
  rn_tokenizer_file_free(file);
}

int main(int argc, char **argv) {
  scratch = rn_path_join(temp_path("files"), ".");
  CHECK_OK(&err, rn_file_make_folder(&err, scratch.text));
  bad_rank_files_are_refused();
  bad_settings_are_refused();
  bad_json_is_refused();
  bad_models_are_refused(argc > 1 ? argv[1] : ".");
  a_wrong_prefix_is_named(argc > 1 ? argv[1] : ".");
  a_right_prefix_is_believed();
  a_packed_tokenizer_is_known_by_its_hash();
  return check_result();
}
