/** Determines which inputs of a build are token files, and how their ids are read. */
#ifndef RN_DATA_TEXT_TOKEN_INPUTS_H
#define RN_DATA_TEXT_TOKEN_INPUTS_H

#include "data/tokens/token_file.h"

typedef struct rn_token_inputs {
  rn_token_format format; /* format of all inputs; RN_FORMAT_AUTO: determined by name and content of
                             each file */
  rn_token_rules rules;
  bool headerless; /* if format is RN_FORMAT_AUTO: read a .bin without a header as tokens */
  bool no_text;    /* text cannot be read, because there is no tokenizer */
  int32_t separator_llama3; /* separator of llm.c files with u32 tokens */
  rn_path last_shard; /* the llm.c file that was read last; its last document may continue in the
                         next file */
} rn_token_inputs;

/** Determines the format in which a file is read: never RN_FORMAT_AUTO. Errors: those of
 * rn_token_file_format. */
rn_status rn_token_inputs_format(rn_err *err, const rn_token_inputs *tokens, const char *path,
                                 rn_token_format *format);

/** Sets *skips to true if a file that was found in a folder must be skipped. If a token format was
 * given, all files without the extension .bin are skipped; with RN_FORMAT_AUTO, each .idx file that
 * belongs to a .bin file. Errors: those of rn_token_file_format. */
rn_status rn_token_inputs_skips(rn_err *err, const rn_token_inputs *tokens, const char *path,
                                bool *skips);

/** Reads a token file. Errors: those of rn_token_file_read and rn_token_file_llmc_bytes. */
rn_status rn_token_inputs_read(rn_err *err, rn_token_inputs *tokens, const char *path,
                               rn_token_format format, rn_token_visitor visitor);

#endif
