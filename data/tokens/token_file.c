#include "data/tokens/token_file.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

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

typedef rn_status detect_format(rn_err *err, const rn_file *file, bool *detected);

/* Sets *detected to whether a regular file has the format. */
static rn_status detect(rn_err *err, const char *path, detect_format *is_format, bool *detected) {
  rn_file file = {0};
  RN_TRY(err, rn_file_open(err, path, &file));
  const rn_status status = is_format(err, &file, detected);
  rn_file_destroy(&file);
  return status;
}

rn_status rn_token_file_format(rn_err *err, const char *path, rn_token_format *format) {
  const bool is_index = has_extension(path, ".idx");
  bool regular, found;
  *format = RN_FORMAT_TEXT;
  if (!is_index && !has_extension(path, ".bin")) return RN_OK;
  RN_TRY(err, rn_file_find_regular(err, path, &regular));
  if (!regular) return RN_OK;
  if (is_index) {
    RN_TRY(err, detect(err, path, rn_megatron_detect, &found));
    if (found) *format = RN_FORMAT_MEGATRON;
    return RN_OK;
  }
  RN_TRY(err, rn_file_find_regular(err, rn_token_file_sibling(path, ".idx").text, &found));
  if (found) {
    *format = RN_FORMAT_MEGATRON;
    return RN_OK;
  }
  RN_TRY(err, detect(err, path, rn_llmc_detect, &found));
  *format = found ? RN_FORMAT_LLMC : RN_FORMAT_NANOGPT;
  return RN_OK;
}

rn_status rn_token_file_pair(rn_err *err, const char *name, rn_path *data) {
  rn_path index;
  const char *slash = strrchr(name, '/');
  bool has_data, has_index;
  *data = (rn_path){""};
  if (strlen(slash != NULL ? slash + 1 : name) + EXTENSION > NAME_MAX) return RN_OK;
  snprintf(data->text, sizeof data->text, "%s.bin", name);
  snprintf(index.text, sizeof index.text, "%s.idx", name);
  RN_TRY(err, rn_file_find_regular(err, data->text, &has_data));
  RN_TRY(err, rn_file_find_regular(err, index.text, &has_index));
  if (!has_data || !has_index) *data = (rn_path){""};
  return RN_OK;
}

rn_status rn_token_file_llmc_bytes(rn_err *err, const char *path, int *bytes) {
  rn_file file = {0};
  rn_token_type type = {0};
  int64_t tokens = 0;
  *bytes = 0;
  rn_status status = rn_file_open(err, path, &file);
  if (status == RN_OK) status = rn_llmc_check(err, &file, &type, &tokens);
  rn_file_destroy(&file);
  if (status == RN_OK) *bytes = type.bytes;
  if (status != RN_ERR_FORMAT) return status;
  rn_err_clear(err);
  return RN_OK;
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
