#include "data/text/token_inputs.h"

#include <stdio.h>
#include <string.h>

#include "data/tokens/llmc.h"

rn_token_format rn_token_inputs_format(const rn_token_inputs *tokens, const char *path) {
  if (tokens->format != RN_FORMAT_AUTO) return tokens->format;
  const rn_token_format format = rn_token_file_format(path);
  return format == RN_FORMAT_NANOGPT && !tokens->headerless ? RN_FORMAT_TEXT : format;
}

/* True for NAME.idx with NAME.bin beside it. A NAME.bin that cannot be looked up counts as well: it
 * is an input of its own, and reading it reports the error. */
static bool is_index_of_data(const char *path) {
  const rn_path data = rn_token_file_sibling(path, ".bin");
  return data.text[0] != '\0' && strcmp(data.text, path) != 0 && !rn_file_is_missing(data.text) &&
         rn_token_file_format(path) == RN_FORMAT_MEGATRON;
}

bool rn_token_inputs_skips(const rn_token_inputs *tokens, const char *path) {
  if (tokens->format == RN_FORMAT_TEXT) return false;
  if (tokens->format == RN_FORMAT_AUTO) return is_index_of_data(path);
  return strcmp(rn_token_file_sibling(path, ".bin").text, path) != 0;
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
    continues = rn_llmc_follows(tokens->last_shard.text, path);
    if (rn_token_file_llmc_bytes(path) == 4) rules.separator = tokens->separator_llama3;
  }
  RN_TRY(err, rn_token_file_read(err, data.text[0] != '\0' ? data.text : path, format, continues,
                                 &rules, visitor));
  snprintf(tokens->last_shard.text, sizeof tokens->last_shard.text, "%s",
           format == RN_FORMAT_LLMC ? path : "");
  return RN_OK;
}
