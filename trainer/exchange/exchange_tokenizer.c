#include "trainer/exchange/exchange_tokenizer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/file/file.h"
#include "data/tokenizer/tiktoken.h"
#include "data/tokenizer/tokenizer_file.h"

/* Names of the files of each kind of tokenizer, in the order in which import looks for them. The
 * ranks of tiktoken (priorities of BPE merges) come first, because a tokenizer.json in the same
 * folder was made from them. `settings` is in the same folder as `file`, where data/tokenizer
 * expects it. */
static const struct {
  const char *kind, *file, *settings;
} kinds[] = {{"tiktoken", "ranks.tiktoken", "ranks.json"},
             {"hf", "tokenizer.json", "tokenizer_config.json"},
             {"spm", "tokenizer.model", NULL}};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

static rn_status write_text(rn_err *err, const char *folder, const char *name, const char *text) {
  return rn_file_replace(err, rn_path_join(folder, name).text, text, strlen(text));
}

/* Converts a tiktoken rank file to tokenizer.json, which Hugging Face reads, and writes it to the
 * folder, too. Prints a warning if the file cannot be converted. */
static rn_status write_for_hf(rn_err *err, const Retnet__Tokenizer *file, const char *folder) {
  rn_hf_files texts;
  rn_err why = {0};
  const rn_status made = rn_tiktoken_to_hf(&why, file, &texts);
  if (made == RN_ERR_MEMORY) return rn_fail(err, made, "%s", why.text);
  if (made != RN_OK) {
    fprintf(stderr,
            "warning: the tokenizer is written only as ranks.tiktoken, not as tokenizer.json: %s\n",
            why.text);
    return RN_OK;
  }
  rn_status status = write_text(err, folder, "tokenizer.json", texts.tokenizer);
  if (status == RN_OK) status = write_text(err, folder, "tokenizer_config.json", texts.config);
  rn_hf_files_free(&texts);
  return status;
}

static rn_status write_file(rn_err *err, const Retnet__Tokenizer *file, const char *folder) {
  for (int i = 0; i < KINDS; i++) {
    if (strcmp(file->kind, kinds[i].kind) != 0) continue;
    const rn_path path = rn_path_join(folder, kinds[i].file);
    RN_TRY(err, rn_file_replace(err, path.text, file->content.data, file->content.len));
    if (file->settings == NULL || kinds[i].settings == NULL) continue;
    RN_TRY(err, write_text(err, folder, kinds[i].settings, file->settings));
  }
  return strcmp(file->kind, "tiktoken") == 0 ? write_for_hf(err, file, folder) : RN_OK;
}

rn_status rn_exchange_write_tokenizer(rn_err *err, const char *where, const Retnet__Vocabulary *v,
                                      const char *folder) {
  Retnet__Tokenizer *file = NULL;
  if (!v->has_tokenizer_file) return RN_OK;
  RN_TRY(err, rn_tokenizer_file_unpack(err, where, v->tokenizer_file.data, v->tokenizer_file.len,
                                       v->tokenizer_sum, &file));
  const rn_status status = write_file(err, file, folder);
  rn_tokenizer_file_free(file);
  return status;
}

/* Stores the packed file, its hash, and the name and document token of the tokenizer made from
 * it. */
static rn_status describe(rn_err *err, const Retnet__Tokenizer *file, const rn_tokenizer *tokenizer,
                          Retnet__Vocabulary *out) {
  void *packed = NULL;
  size_t bytes = 0;
  RN_TRY(err, rn_tokenizer_file_pack(err, file, &packed, &bytes));
  char *name = strdup(tokenizer->name);
  if (name == NULL) {
    free(packed);
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while importing a tokenizer");
  }
  out->tokenizer = name;
  out->has_tokenizer_file = out->has_tokenizer_sum = out->has_document_token = true;
  out->tokenizer_file = (ProtobufCBinaryData){bytes, packed};
  out->tokenizer_sum = rn_tokenizer_file_hash(file);
  out->document_token = tokenizer->document;
  return RN_OK;
}

static rn_status read_kind(rn_err *err, const char *text, Retnet__Vocabulary *out) {
  Retnet__Tokenizer *file = NULL;
  rn_tokenizer *tokenizer = NULL;
  rn_status status = rn_tokenizer_file_read(err, text, &file);
  if (status == RN_OK) status = rn_tokenizer_create(err, file, &tokenizer);
  if (status == RN_OK && tokenizer->vocabulary > out->size) {
    status = rn_fail(err, RN_ERR_MISMATCH,
                     "%s: the vocabulary of %d tokens is larger than that of the model, %d", text,
                     tokenizer->vocabulary, out->size);
  }
  if (status == RN_OK) status = describe(err, file, tokenizer, out);
  rn_tokenizer_destroy(&tokenizer);
  rn_tokenizer_file_free(file);
  return status;
}

/* Sets *found to true for a regular file. Opening a pipe would block the import. */
static rn_status find_file(rn_err *err, const char *path, bool *found) {
  struct stat info;
  const bool exists = stat(path, &info) == 0;
  *found = exists && S_ISREG(info.st_mode);
  return exists || errno == ENOENT ? RN_OK : rn_file_fail(err, "look up", path, errno);
}

rn_status rn_exchange_read_tokenizer(rn_err *err, const char *folder, Retnet__Vocabulary *out) {
  for (int i = 0; i < KINDS; i++) {
    rn_err why = {0};
    char text[RN_PATH_BYTES + 16];
    const rn_path path = rn_path_join(folder, kinds[i].file);
    bool found;
    RN_TRY(err, find_file(err, path.text, &found));
    if (!found) continue;
    snprintf(text, sizeof text, "%s:%s", kinds[i].kind, path.text);
    const rn_status status = read_kind(&why, text, out);
    if (status == RN_OK) return RN_OK;
    if (status == RN_ERR_MEMORY || status == RN_ERR_IO) return rn_fail(err, status, "%s", why.text);
    fprintf(stderr, "warning: %s cannot be imported: %s\n", path.text, why.text);
  }
  return RN_OK;
}

void rn_exchange_free_tokenizer(Retnet__Vocabulary *v) {
  if (!v->has_tokenizer_file) return;
  free(v->tokenizer);
  free(v->tokenizer_file.data);
}
