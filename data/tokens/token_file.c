#include "data/tokens/token_file.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "data/tokens/llmc.h"
#include "data/tokens/megatron.h"

const char *const rn_token_format_names[RN_FORMATS] = {[RN_FORMAT_AUTO] = "auto",
                                                       [RN_FORMAT_TEXT] = "text",
                                                       [RN_FORMAT_NANOGPT] = "nanogpt",
                                                       [RN_FORMAT_LLMC] = "llmc",
                                                       [RN_FORMAT_MEGATRON] = "megatron"};

enum { EXTENSION = 4 }; /* length of ".bin" and ".idx" */

static bool has_extension(const char *path, const char *extension) {
  const size_t length = strlen(path);
  return length > EXTENSION && strcasecmp(path + length - EXTENSION, extension) == 0;
}

static bool is_regular(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

rn_path rn_token_file_sibling(const char *path, const char *extension) {
  rn_path sibling = {""};
  if (!has_extension(path, ".bin") && !has_extension(path, ".idx")) return sibling;
  if (has_extension(path, extension)) {
    snprintf(sibling.text, sizeof sibling.text, "%s", path);
    return sibling;
  }
  snprintf(sibling.text, sizeof sibling.text, "%.*s%s", (int)(strlen(path) - EXTENSION), path,
           extension);
  return sibling;
}

/* True if the file can be opened and passes the test. */
static bool passes(const char *path, bool (*test)(const rn_file *file)) {
  rn_err ignored = {0};
  rn_file file = {0};
  if (!is_regular(path) || rn_file_open(&ignored, path, &file) != RN_OK) return false;
  const bool passed = test(&file);
  rn_file_destroy(&file);
  return passed;
}

rn_token_format rn_token_file_format(const char *path) {
  if (has_extension(path, ".idx")) {
    return passes(path, rn_megatron_is_index) ? RN_FORMAT_MEGATRON : RN_FORMAT_TEXT;
  }
  if (!has_extension(path, ".bin") || !is_regular(path)) return RN_FORMAT_TEXT;
  if (is_regular(rn_token_file_sibling(path, ".idx").text)) return RN_FORMAT_MEGATRON;
  return passes(path, rn_llmc_is) ? RN_FORMAT_LLMC : RN_FORMAT_NANOGPT;
}

rn_path rn_token_file_pair(const char *name) {
  rn_path data, index;
  snprintf(data.text, sizeof data.text, "%s.bin", name);
  snprintf(index.text, sizeof index.text, "%s.idx", name);
  return is_regular(data.text) && is_regular(index.text) ? data : (rn_path){""};
}

int rn_token_file_llmc_bytes(const char *path) {
  rn_err ignored = {0};
  rn_file file = {0};
  rn_token_type type = {0};
  int64_t tokens = 0;
  if (rn_file_open(&ignored, path, &file) != RN_OK) return 0;
  const rn_status status = rn_llmc_check(&ignored, &file, &type, &tokens);
  rn_file_destroy(&file);
  return status == RN_OK ? type.bytes : 0;
}

static rn_status read_pair(rn_err *err, const rn_file *data, rn_token_reader *reader) {
  const rn_path path = rn_token_file_sibling(data->path, ".idx");
  rn_file index = {0};
  RN_TRY(err, rn_file_open(err, path.text, &index));
  const rn_status status = rn_megatron_read(err, &index, data, reader);
  rn_file_destroy(&index);
  return status;
}

static rn_status read_open(rn_err *err, const rn_file *file, rn_token_format format,
                           rn_token_reader *reader) {
  switch (format) {
    case RN_FORMAT_LLMC:
      return rn_llmc_read(err, file, reader);
    case RN_FORMAT_MEGATRON:
      return read_pair(err, file, reader);
    default:
      return rn_nanogpt_read(err, file, reader);
  }
}

rn_status rn_token_file_read(rn_err *err, const char *path, rn_token_format format, bool continues,
                             const rn_token_rules *rules, rn_token_visitor visitor) {
  rn_file file = {0};
  rn_token_reader reader = {.rules = *rules, .visitor = visitor, .open = continues};
  RN_TRY(err, rn_file_open(err, path, &file));
  rn_status status = rn_token_reader_create(err, &file, &reader);
  if (status == RN_OK) status = read_open(err, &file, format, &reader);
  rn_token_reader_destroy(&reader);
  rn_file_destroy(&file);
  return status;
}
