/**
 * Rank files of tiktoken: a token in base64, a space and its rank on each line.
 *
 * A rank file says neither its pattern nor its special tokens. They are read from the JSON file
 * beside it (NAME.json beside NAME.tiktoken, with pattern, special_tokens and end_of_text), or are
 * known if the file is r50k_base, cl100k_base or o200k_base of OpenAI, which its content tells.
 */
#ifndef RN_DATA_TOKENIZER_TIKTOKEN_H
#define RN_DATA_TOKENIZER_TIKTOKEN_H

#include "data/tokenizer/tokenizer.h"
#include "proto/schema/tokenizer.pb-c.h"

/** Reads the file, and sets settings. Errors: RN_ERR_NOT_FOUND, RN_ERR_IO, RN_ERR_FORMAT. */
rn_status rn_tiktoken_read(rn_err *err, const char *path, Retnet__Tokenizer *file);

/** Creates the tokenizer. Errors: RN_ERR_FORMAT naming file and line; RN_ERR_MEMORY. */
rn_status rn_tiktoken_create(rn_err *err, const Retnet__Tokenizer *file, const char *name,
                             uint64_t hash, rn_tokenizer **out);

#endif
