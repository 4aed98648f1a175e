/**
 * Reads rank files of tiktoken. Each line has a token in base64, a space and the token's rank.
 *
 * A rank file contains neither its pattern nor its special tokens. They are read from a JSON file
 * in the same folder (NAME.json for NAME.tiktoken, with pattern, special_tokens and end_of_text).
 * Without it, they are known only for OpenAI's r50k_base, cl100k_base and o200k_base, which are
 * recognised by their content.
 */
#ifndef RN_DATA_TOKENIZER_TIKTOKEN_H
#define RN_DATA_TOKENIZER_TIKTOKEN_H

#include "data/tokenizer/tokenizer.h"
#include "proto/schema/tokenizer.pb-c.h"

/** Reads the file and sets file->settings. Errors: RN_ERR_NOT_FOUND, RN_ERR_IO, RN_ERR_FORMAT. */
rn_status rn_tiktoken_read(rn_err *err, const char *path, Retnet__Tokenizer *file);

/** Creates the tokenizer. Errors: RN_ERR_FORMAT naming file and line; RN_ERR_MEMORY. */
rn_status rn_tiktoken_create(rn_err *err, const Retnet__Tokenizer *file, const char *name,
                             uint64_t hash, rn_tokenizer **out);

#endif
