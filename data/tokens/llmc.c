#include "data/tokens/llmc.h"

#include <stdlib.h>
#include <string.h>

#include "data/file/little_endian.h"

enum {
  HEADER_BYTES = 1024,
  MAGIC_U16 = 20240520,
  MAGIC_U32 = 20240801,
  /* Magic numbers of llm.c are dates in the form YYYYMMDD. A number in this range
   * is treated as a magic number. */
  FIRST_MAGIC = 20240000,
  LAST_MAGIC = 20279999
};

static const char *kind_of(int32_t magic) {
  switch (magic) {
    case 20240522:
      return "an evaluation file (multiple choice)";
    case 20240328:
      return "a tokenizer (to be given with --tokenizer)";
    case 20240326:
      return "a model checkpoint";
    default:
      return "an unknown kind of file";
  }
}

rn_status rn_llmc_detect(rn_err *err, const rn_file *file, bool *is_llmc) {
  unsigned char magic[4];
  *is_llmc = false;
  if (file->size_bytes < (int64_t)sizeof magic) return RN_OK;
  RN_TRY(err, rn_file_read(err, file, 0, magic, sizeof magic));
  *is_llmc = rn_get_u32(magic) >= FIRST_MAGIC && rn_get_u32(magic) <= LAST_MAGIC;
  return RN_OK;
}

static rn_status check_size(rn_err *err, const rn_file *file, int64_t tokens, int bytes) {
  const int64_t size = HEADER_BYTES + tokens * bytes;
  if (tokens < 1) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: the llm.c header has an invalid number of tokens, %lld",
                   file->path, (long long)tokens);
  }
  if (size == file->size_bytes) return RN_OK;
  return rn_fail(
      err, RN_ERR_FORMAT,
      "%s has %lld bytes, but the %lld tokens that its llm.c header states need a file of %lld "
      "bytes; the file is %s: copy or make it again",
      file->path, (long long)file->size_bytes, (long long)tokens, (long long)size,
      size > file->size_bytes ? "truncated" : "too long");
}

rn_status rn_llmc_check(rn_err *err, const rn_file *file, rn_token_type *type, int64_t *tokens) {
  unsigned char header[HEADER_BYTES];
  if (file->size_bytes < HEADER_BYTES) {
    return rn_fail(
        err, RN_ERR_FORMAT,
        "%s has %lld bytes, fewer than the 1024-byte header of llm.c; the file is truncated: "
        "copy or make it again",
        file->path, (long long)file->size_bytes);
  }
  RN_TRY(err, rn_file_read(err, file, 0, header, sizeof header));
  const int32_t magic = (int32_t)rn_get_u32(header), version = (int32_t)rn_get_u32(header + 4);
  if (magic != MAGIC_U16 && magic != MAGIC_U32) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s begins with the llm.c magic number %d, which means %s, not u16 or u32 "
                   "tokens; if the file has no header, give --format nanogpt or --format text",
                   file->path, magic, kind_of(magic));
  }
  const int wanted = magic == MAGIC_U16 ? 1 : 7;
  if (version != wanted) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: version %d is not supported for the llm.c magic number %d, only version %d",
                   file->path, version, magic, wanted);
  }
  *type = (rn_token_type){.bytes = magic == MAGIC_U16 ? 2 : 4};
  *tokens = (int32_t)rn_get_u32(header + 8);
  return check_size(err, file, *tokens, type->bytes);
}

/* Returns the start of the digits before ".bin", or NULL if there are none. */
static const char *shard_digits(const char *path) {
  static const char end[] = ".bin";
  const size_t length = strlen(path);
  if (length < sizeof end || strcmp(path + length - (sizeof end - 1), end) != 0) return NULL;
  const char *stop = path + length - (sizeof end - 1), *at = stop;
  while (at > path && at[-1] >= '0' && at[-1] <= '9') at--;
  return at < stop && at > path && at[-1] == '_' ? at : NULL;
}

bool rn_llmc_follows(const char *previous, const char *path) {
  const char *a = shard_digits(previous), *b = shard_digits(path);
  if (a == NULL || b == NULL || a - previous != b - path) return false;
  if (memcmp(previous, path, (size_t)(a - previous)) != 0) return false;
  return strtoull(b, NULL, 10) == strtoull(a, NULL, 10) + 1;
}

rn_status rn_llmc_read(rn_err *err, const rn_file *file, rn_token_reader *r) {
  int64_t tokens = 0;
  RN_TRY(err, rn_llmc_check(err, file, &r->type, &tokens));
  r->first_byte = HEADER_BYTES;
  r->rules.separator_is_first = true;
  return rn_token_reader_read(err, r, HEADER_BYTES, tokens);
}

/* Determines whether separators precede or follow the documents of a nanoGPT file. They precede the
 * documents if the file begins with a separator and does not end with one; some scripts write such
 * files. */
static rn_status find_place(rn_err *err, const rn_file *file, rn_token_reader *r) {
  unsigned char first[2], last[2];
  RN_TRY(err, rn_file_read(err, file, 0, first, sizeof first));
  RN_TRY(err, rn_file_read(err, file, file->size_bytes - 2, last, sizeof last));
  const uint64_t separator = (uint64_t)r->rules.separator;
  r->rules.separator_is_first =
      rn_get_bytes(first, 2) == separator && rn_get_bytes(last, 2) != separator;
  return RN_OK;
}

rn_status rn_nanogpt_read(rn_err *err, const rn_file *file, rn_token_reader *r) {
  if (file->size_bytes == 0) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: the file is empty", file->path);
  }
  if (file->size_bytes % 2 != 0) {
    return rn_fail(
        err, RN_ERR_FORMAT,
        "%s has an odd number of bytes (%lld), so it does not hold u16 tokens as nanoGPT "
        "writes them. It may be truncated; if it is not a token file, give --format text "
        "to read it as text",
        file->path, (long long)file->size_bytes);
  }
  r->type = (rn_token_type){.bytes = 2};
  RN_TRY(err, find_place(err, file, r));
  return rn_token_reader_read(err, r, 0, file->size_bytes / 2);
}
