#include "data/text/token_inputs.h"

#include <stdio.h>
#include <string.h>

#include "data/tokens/llmc.h"

rn_status rn_token_inputs_format(rn_err *err, const rn_token_inputs *tokens, const char *path,
                                 rn_token_format *format) {
  *format = tokens->format;
  if (tokens->format != RN_FORMAT_AUTO) return RN_OK;
  RN_TRY(err, rn_token_file_format(err, path, format));
  if (*format == RN_FORMAT_NANOGPT && !tokens->headerless) *format = RN_FORMAT_TEXT;
  return RN_OK;
}

/* Sets *is_index to true for NAME.idx with NAME.bin beside it. */
static rn_status is_index_of_data(rn_err *err, const char *path, bool *is_index) {
  const rn_path data = rn_token_file_sibling(path, ".bin");
  rn_token_format format = RN_FORMAT_TEXT;
  *is_index = false;
  if (data.text[0] == '\0' || strcmp(data.text, path) == 0) return RN_OK;
  RN_TRY(err, rn_file_find(err, data.text, is_index));
  if (*is_index) RN_TRY(err, rn_token_file_format(err, path, &format));
  *is_index = format == RN_FORMAT_MEGATRON;
  return RN_OK;
}

rn_status rn_token_inputs_skips(rn_err *err, const rn_token_inputs *tokens, const char *path,
                                bool *skips) {
  if (tokens->format == RN_FORMAT_AUTO) return is_index_of_data(err, path, skips);
  *skips = tokens->format != RN_FORMAT_TEXT &&
           strcmp(rn_token_file_sibling(path, ".bin").text, path) != 0;
  return RN_OK;
}

rn_status rn_token_inputs_read(rn_err *err, rn_token_inputs *tokens, const char *path,
                               rn_token_format format, rn_token_visitor visitor) {
  rn_token_rules rules = tokens->rules;
  rn_path data = {""};
  bool continues = false;
  if (format == RN_FORMAT_MEGATRON) data = rn_token_file_sibling(path, ".bin");
  if (format == RN_FORMAT_MEGATRON && data.text[0] == '\0') {
    return rn_fail(err, RN_ERR_USAGE, "%s: the name of a Megatron-LM file must end in .bin or .idx",
                   path);
  }
  if (format == RN_FORMAT_LLMC) {
    int bytes;
    RN_TRY(err, rn_token_file_llmc_bytes(err, path, &bytes));
    continues = rn_llmc_follows(tokens->last_shard.text, path);
    if (bytes == 4) rules.separator = tokens->separator_llama3;
  }
  RN_TRY(err, rn_token_file_read(err, data.text[0] != '\0' ? data.text : path, format, continues,
                                 &rules, visitor));
  snprintf(tokens->last_shard.text, sizeof tokens->last_shard.text, "%s",
           format == RN_FORMAT_LLMC ? path : "");
  return RN_OK;
}
