/* Finds the pattern and the special tokens of a rank file, in the JSON file in the same folder or,
 * for known rank files, in a table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/file/file.h"
#include "data/tokenizer/file_content.h"
#include "data/tokenizer/pattern.h"
#include "data/tokenizer/tiktoken.h"

static const char end_of_text[] = "<|endoftext|>";

/* The rank files that tiktoken downloads, identified by the XXH3-128 of their bytes. */
static const struct {
  uint64_t high, low;
  const char *pattern;
  rn_special_token special[5];
} known[] = {{UINT64_C(0xaa5ef69a716d8a56),
              UINT64_C(0x3cb2fbe95939bd2d),
              rn_pattern_gpt2,
              {{end_of_text, 50256}}},
             {UINT64_C(0x7cdb781bb5d59657),
              UINT64_C(0xaa5d7bf38900641a),
              rn_pattern_cl100k,
              {{end_of_text, 100257},
               {"<|fim_prefix|>", 100258},
               {"<|fim_middle|>", 100259},
               {"<|fim_suffix|>", 100260},
               {"<|endofprompt|>", 100276}}},
             {UINT64_C(0xdee5d4ced09a2db6),
              UINT64_C(0x72a095e82ca109d6),
              rn_pattern_o200k,
              {{end_of_text, 199999}, {"<|endofprompt|>", 200018}}}};

/* Sets *out to the settings of a known rank file, or to NULL for any other file. Returns false if
 * out of memory. */
static bool known_settings(const Retnet__Tokenizer *file, json_t **out) {
  const XXH128_hash_t hash = XXH3_128bits(file->content.data, file->content.len);
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (hash.high64 != known[i].high || hash.low64 != known[i].low) continue;
    json_t *special = json_object();
    int failed = 0;
    for (int s = 0; s < 5 && known[i].special[s].text != NULL; s++) {
      failed |= json_object_set_new(special, known[i].special[s].text,
                                    json_integer(known[i].special[s].id));
    }
    *out = json_pack("{s:s, s:o, s:s}", "pattern", known[i].pattern, "special_tokens", special,
                     "end_of_text", end_of_text);
    return *out != NULL && failed == 0;
  }
  *out = NULL;
  return true;
}

/* Keeps only the keys that the tokenizer depends on, so that other keys of the file do not change
 * the hash. */
static rn_status settings_of(rn_err *err, const char *where, const json_t *beside, json_t **out) {
  const json_t *pattern = json_object_get(beside, "pattern");
  const json_t *special = json_object_get(beside, "special_tokens");
  const json_t *end = json_object_get(beside, "end_of_text");
  if (!json_is_string(pattern)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: \"pattern\" is missing or is not a string", where);
  }
  if (!json_is_object(special)) {
    return rn_fail(
        err, RN_ERR_FORMAT,
        "%s: \"special_tokens\" is missing or is not an object of names and ids ({} for none)",
        where);
  }
  if (end != NULL && !json_is_null(end) && !json_is_string(end)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: \"end_of_text\" is not the name of a token", where);
  }
  *out = json_pack("{s:O, s:O}", "pattern", pattern, "special_tokens", special);
  if (*out == NULL || (json_is_string(end) &&
                       json_object_set_new(*out, "end_of_text", json_copy((json_t *)end)) != 0)) {
    return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", where);
  }
  return RN_OK;
}

static rn_status read_beside(rn_err *err, const char *path, json_t **out) {
  void *bytes = NULL;
  size_t count = 0;
  json_t *beside = NULL;
  RN_TRY(err, rn_file_load(err, path, 1 << 24, &bytes, &count));
  rn_status status = rn_tokenizer_parse(err, path, bytes, count, &beside);
  if (status == RN_OK) status = settings_of(err, path, beside, out);
  json_decref(beside);
  free(bytes);
  return status;
}

static rn_path path_beside(const char *path) {
  static const char ending[] = ".tiktoken";
  rn_path beside;
  size_t length = strlen(path);
  const size_t tail = sizeof ending - 1;
  if (length > tail && strcmp(path + length - tail, ending) == 0) length -= tail;
  snprintf(beside.text, sizeof beside.text, "%.*s.json", (int)length, path);
  return beside;
}

static rn_status find_settings(rn_err *err, const char *path, const Retnet__Tokenizer *file,
                               json_t **out) {
  const rn_path beside = path_beside(path);
  bool exists;
  RN_TRY(err, rn_file_find(err, beside.text, &exists));
  if (exists) return read_beside(err, beside.text, out);
  if (!known_settings(file, out)) return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", path);
  if (*out != NULL) return RN_OK;
  return rn_fail(err, RN_ERR_NOT_FOUND,
                 "%s: a rank file does not contain its pattern and special tokens, and this one is "
                 "not r50k_base, cl100k_base or o200k_base; write %s with {\"pattern\": \"...\", "
                 "\"special_tokens\": {\"<|endoftext|>\": ID}, \"end_of_text\": \"<|endoftext|>\"}",
                 path, beside.text);
}

rn_status rn_tiktoken_read(rn_err *err, const char *path, Retnet__Tokenizer *file) {
  json_t *settings = NULL;
  RN_TRY(err, rn_tokenizer_load(err, path, RN_CONTENT_RANKS, file));
  const rn_status status = find_settings(err, path, file, &settings);
  if (status == RN_OK) file->settings = json_dumps(settings, JSON_COMPACT | JSON_SORT_KEYS);
  json_decref(settings);
  if (status != RN_OK || file->settings != NULL) return status;
  return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", path);
}
