/* Finds the files of a Hugging Face tokenizer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/file/file.h"
#include "data/tokenizer/file_content.h"
#include "data/tokenizer/hf_compose.h"
#include "data/tokenizer/hf_json.h"
#include "proto/base/utf8.h"

static bool is_folder(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* ---- vocab.json and merges.txt ---- */

static rn_status merges_of(rn_err *err, const char *path, const Retnet__Tokenizer *file,
                           json_t *merges) {
  const char *at = (const char *)file->content.data, *end = at + file->content.len;
  long long number = 0;
  while (at < end) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    const char *next = stop != NULL ? stop + 1 : end;
    if (stop == NULL) stop = end;
    if (stop > at && stop[-1] == '\r') stop--;
    const size_t length = (size_t)(stop - at);
    const bool header = number++ == 0 && length > 8 && memcmp(at, "#version", 8) == 0;
    if (!rn_utf8_is_valid((const unsigned char *)at, length)) {
      return rn_fail(err, RN_ERR_FORMAT, "%s:%lld: the line is not valid UTF-8", path, number);
    }
    if (length > 0 && !header && json_array_append_new(merges, json_stringn(at, length)) != 0) {
      return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", path);
    }
    at = next;
  }
  return RN_OK;
}

/* Returns the text of the tokenizer.json that is equivalent to the pair of files, with the settings
 * of GPT-2. */
static char *json_of_pair(json_t *vocab, json_t *merges) {
  static const char end_of_text[] = "<|endoftext|>";
  json_t *end = json_object_get(vocab, end_of_text), *special = json_object();
  char *text = NULL;
  if (!json_is_integer(end) || json_object_set(special, end_of_text, end) == 0) {
    text = rn_hf_compose(&(rn_hf_fields){vocab, merges, special, NULL, false});
  }
  json_decref(special);
  return text;
}

static rn_status read_pair(rn_err *err, const char *vocab_path, const char *merges_path,
                           Retnet__Tokenizer *file) {
  Retnet__Tokenizer merges_file = RETNET__TOKENIZER__INIT;
  json_t *vocab = NULL, *merges = json_array();
  char *text = NULL, *name = strdup("tokenizer.json");
  rn_status status = rn_tokenizer_load(err, vocab_path, RN_CONTENT_JSON, file);
  if (status == RN_OK) {
    status = rn_tokenizer_parse(err, vocab_path, file->content.data, file->content.len, &vocab);
  }
  if (status == RN_OK) {
    status = rn_tokenizer_load(err, merges_path, RN_CONTENT_MERGES, &merges_file);
  }
  if (status == RN_OK) status = merges_of(err, merges_path, &merges_file, merges);
  if (status == RN_OK) {
    text = json_of_pair(vocab, merges);
    if (text == NULL || name == NULL)
      status = rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", vocab_path);
  }
  if (status == RN_OK) {
    free(file->content.data);
    free(file->file_name);
    file->content = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
    file->file_name = name;
    text = name = NULL;
  }
  free(text);
  free(name);
  json_decref(vocab);
  json_decref(merges);
  free(merges_file.content.data);
  free(merges_file.file_name);
  return status;
}

/* ---- tokenizer_config.json ---- */

/* Sets file->settings to {"eos_token": NAME} if tokenizer_config.json in the folder names one. */
static rn_status read_config(rn_err *err, const char *folder, Retnet__Tokenizer *file) {
  const rn_path path = rn_path_join(folder, "tokenizer_config.json");
  void *bytes = NULL;
  size_t count = 0;
  json_t *config = NULL;
  bool exists;
  RN_TRY(err, rn_file_find(err, path.text, &exists));
  if (!exists) return RN_OK;
  RN_TRY(err, rn_file_load(err, path.text, 1 << 26, &bytes, &count));
  rn_status status = rn_tokenizer_parse(err, path.text, bytes, count, &config);
  free(bytes);
  if (status != RN_OK) return status;
  const json_t *eos = json_object_get(config, "eos_token");
  if (json_is_object(eos)) eos = json_object_get(eos, "content");
  if (json_is_string(eos)) {
    json_t *settings = json_pack("{s:O}", "eos_token", eos);
    file->settings = json_dumps(settings, JSON_COMPACT);
    json_decref(settings);
    if (file->settings == NULL)
      status = rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", path.text);
  }
  json_decref(config);
  return status;
}

static rn_status read_folder(rn_err *err, const char *folder, Retnet__Tokenizer *file) {
  static const char *const pairs[][2] = {{"vocab.json", "merges.txt"},
                                         {"encoder.json", "vocab.bpe"}};
  const rn_path whole = rn_path_join(folder, "tokenizer.json");
  bool exists;
  RN_TRY(err, rn_file_find(err, whole.text, &exists));
  if (exists) return rn_tokenizer_load(err, whole.text, RN_CONTENT_JSON, file);
  for (int i = 0; i < 2; i++) {
    const rn_path vocab = rn_path_join(folder, pairs[i][0]);
    RN_TRY(err, rn_file_find(err, vocab.text, &exists));
    if (!exists) continue;
    return read_pair(err, vocab.text, rn_path_join(folder, pairs[i][1]).text, file);
  }
  return rn_fail(
      err, RN_ERR_NOT_FOUND,
      "%s has neither tokenizer.json nor vocab.json with merges.txt; for a tokenizer.model, "
      "use spm:FILE",
      folder);
}

/* True if a path ends in vocab.json; sets *merges to the path of the merges.txt with the same
 * prefix. */
static bool is_vocab(const char *path, rn_path *merges) {
  static const char ending[] = "vocab.json";
  const size_t length = strlen(path), tail = sizeof ending - 1;
  if (length < tail || strcmp(path + length - tail, ending) != 0) return false;
  snprintf(merges->text, sizeof merges->text, "%.*smerges.txt", (int)(length - tail), path);
  return true;
}

rn_status rn_hf_read(rn_err *err, const char *path, Retnet__Tokenizer *file) {
  rn_path merges;
  if (is_folder(path)) {
    RN_TRY(err, read_folder(err, path, file));
    return read_config(err, path, file);
  }
  if (is_vocab(path, &merges)) {
    RN_TRY(err, read_pair(err, path, merges.text, file));
  } else {
    RN_TRY(err, rn_tokenizer_load(err, path, RN_CONTENT_JSON, file));
  }
  return read_config(err, rn_path_folder(path).text, file);
}
