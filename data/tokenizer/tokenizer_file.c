#include "data/tokenizer/tokenizer_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/file/blob.h"
#include "data/file/file.h"
#include "data/file/little_endian.h"
#include "data/file/message.h"
#include "data/tokenizer/bytes.h"
#include "data/tokenizer/hf_json.h"
#include "data/tokenizer/spm.h"
#include "data/tokenizer/tiktoken.h"

enum { FORMAT = 1, MAX_BYTES = 1 << 29, PACK_LEVEL = 12, NAME_BYTES = 128 };

/* The frame after the packed message: magic, number of bytes that follow, checksum. */
enum { SUM_MAGIC = 0x184D2A5E, SUM_AT = 8, SUM_BYTES = 8, SUM_FRAME_BYTES = SUM_AT + SUM_BYTES };

/* The functions that read and create one kind of tokenizer. */
typedef struct kind {
  const char *name;
  rn_status (*read)(rn_err *err, const char *path, Retnet__Tokenizer *file);
  rn_status (*create)(rn_err *err, const Retnet__Tokenizer *file, const char *name, uint64_t hash,
                      rn_tokenizer **out);
} kind;

static const kind kinds[] = {{"tiktoken", rn_tiktoken_read, rn_tiktoken_create},
                             {"hf", rn_hf_read, rn_hf_create},
                             {"spm", rn_spm_read, rn_spm_create}};

static const kind *kind_named(const char *name, size_t length) {
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    if (strlen(kinds[i].name) == length && memcmp(kinds[i].name, name, length) == 0) {
      return &kinds[i];
    }
  }
  return NULL;
}

rn_status rn_tokenizer_file_read(rn_err *err, const char *text, Retnet__Tokenizer **out) {
  *out = NULL;
  if (strcmp(text, RN_BYTES_NAME) == 0) return RN_OK;
  const size_t length = strcspn(text, ":");
  const kind *k = kind_named(text, length);
  if (k == NULL || text[length] == '\0' || text[length + 1] == '\0') {
    return rn_fail(err, RN_ERR_USAGE,
                   "--tokenizer %s: expected bytes, tiktoken:FILE, hf:FILE_OR_DIR or spm:FILE",
                   text);
  }
  Retnet__Tokenizer *file = calloc(1, sizeof *file);
  if (file == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory for the tokenizer");
  retnet__tokenizer__init(file);
  file->format = FORMAT;
  file->kind = strdup(k->name);
  const rn_status status = file->kind != NULL
                               ? k->read(err, text + length + 1, file)
                               : rn_fail(err, RN_ERR_MEMORY, "out of memory for the tokenizer");
  if (status != RN_OK) {
    rn_tokenizer_file_free(file);
    return status;
  }
  *out = file;
  return RN_OK;
}

void rn_tokenizer_file_free(Retnet__Tokenizer *file) {
  if (file != NULL) retnet__tokenizer__free_unpacked(file, NULL);
}

uint64_t rn_tokenizer_file_hash(const Retnet__Tokenizer *file) {
  const char *settings = file->settings != NULL ? file->settings : "";
  XXH64_hash_t hash = XXH3_64bits(file->kind, strlen(file->kind));
  hash = XXH3_64bits_withSeed(settings, strlen(settings), hash);
  return XXH3_64bits_withSeed(file->content.data, file->content.len, hash);
}

/* Writes the tokenizer's name, "kind:file name", without the folder and the last extension. */
static void name_of(const Retnet__Tokenizer *file, char name[NAME_BYTES]) {
  const char *dot = strrchr(file->file_name, '.');
  const size_t length = dot != NULL ? (size_t)(dot - file->file_name) : strlen(file->file_name);
  snprintf(name, NAME_BYTES, "%s:%.*s", file->kind, (int)(length < 100 ? length : 100),
           file->file_name);
}

rn_status rn_tokenizer_create(rn_err *err, const Retnet__Tokenizer *file, rn_tokenizer **out) {
  char name[NAME_BYTES];
  if (file == NULL) return rn_tokenizer_bytes(err, out);
  const kind *k = kind_named(file->kind, strlen(file->kind));
  if (k == NULL || file->format > FORMAT) {
    return rn_fail(err, RN_ERR_MISMATCH,
                   "tokenizer %s: its kind %s (format %u) comes from a later version of retnet",
                   file->file_name, file->kind, file->format);
  }
  name_of(file, name);
  return k->create(err, file, name, rn_tokenizer_file_hash(file), out);
}

/* Appends the frame with the checksum to `packed` [bytes]; returns the total size. */
static size_t append_sum(unsigned char *packed, size_t bytes) {
  unsigned char *frame = packed + bytes;
  rn_put_u32(frame, SUM_MAGIC);
  rn_put_u32(frame + SUM_AT / 2, SUM_BYTES);
  rn_put_u64(frame + SUM_AT, rn_blob_sum(packed, bytes + SUM_AT));
  return bytes + SUM_FRAME_BYTES;
}

/* Checks the checksum, if the file has one, and subtracts the size of its frame from *bytes. */
static rn_status check_sum(rn_err *err, const char *where, const unsigned char *packed,
                           size_t *bytes) {
  if (*bytes < SUM_FRAME_BYTES) return RN_OK;
  const unsigned char *frame = packed + *bytes - SUM_FRAME_BYTES;
  if (rn_get_u32(frame) != SUM_MAGIC || rn_get_u32(frame + SUM_AT / 2) != SUM_BYTES) return RN_OK;
  if (rn_get_u64(frame + SUM_AT) != rn_blob_sum(packed, *bytes - SUM_BYTES)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s is damaged: its checksum is wrong", where);
  }
  *bytes -= SUM_FRAME_BYTES;
  return RN_OK;
}

rn_status rn_tokenizer_file_pack(rn_err *err, const Retnet__Tokenizer *file, void **packed,
                                 size_t *bytes) {
  const size_t raw_bytes = retnet__tokenizer__get_packed_size(file);
  unsigned char *raw = malloc(raw_bytes);
  *packed = malloc(rn_blob_bound(raw_bytes) + SUM_FRAME_BYTES);
  rn_status status = RN_OK;
  if (raw == NULL || *packed == NULL) {
    status = rn_fail(err, RN_ERR_MEMORY, "out of memory while packing the tokenizer");
  } else {
    retnet__tokenizer__pack(file, raw);
    status = rn_blob_pack(err, raw, raw_bytes, PACK_LEVEL, *packed, bytes);
  }
  free(raw);
  if (status == RN_OK) {
    *bytes = append_sum(*packed, *bytes);
    return RN_OK;
  }
  free(*packed);
  *packed = NULL;
  return status;
}

rn_status rn_tokenizer_file_unpack(rn_err *err, const char *where, const void *packed, size_t bytes,
                                   uint64_t hash, Retnet__Tokenizer **out) {
  size_t raw_bytes = 0;
  *out = NULL;
  RN_TRY(err, check_sum(err, where, packed, &bytes));
  RN_TRY(err, rn_blob_raw_bytes(err, where, packed, bytes, MAX_BYTES, &raw_bytes));
  unsigned char *raw = malloc(raw_bytes + 1);
  if (raw == NULL) return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", where);
  rn_status status = rn_blob_unpack(err, where, packed, bytes, raw, raw_bytes);
  if (status == RN_OK) {
    status = rn_message_unpack(err, where, "not a tokenizer", &retnet__tokenizer__descriptor,
                               (rn_bytes){raw, raw_bytes}, out);
  }
  free(raw);
  if (status != RN_OK) return status;
  if (rn_tokenizer_file_hash(*out) == hash) return RN_OK;
  rn_tokenizer_file_free(*out);
  *out = NULL;
  return rn_fail(
      err, RN_ERR_FORMAT,
      "%s: the hash of this tokenizer differs from the recorded hash: the file is damaged, or the "
      "tokens were made with another tokenizer",
      where);
}
