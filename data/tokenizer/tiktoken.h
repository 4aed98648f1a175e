/**
 * Reads rank files of tiktoken. Each line has a token in base64, a space and the token's rank.
 *
 * A rank file contains neither its pattern nor its special tokens. They are read from a JSON file
 * in the same folder (NAME.json for NAME.tiktoken, with pattern, special_tokens and end_of_text).
 * Without that file, only OpenAI's r50k_base, cl100k_base and o200k_base are supported, which are
 * recognised by their content.
 */
#ifndef RN_DATA_TOKENIZER_TIKTOKEN_H
#define RN_DATA_TOKENIZER_TIKTOKEN_H

#include <jansson.h>

#include "data/tokenizer/bpe_tokenizer.h"
#include "data/tokenizer/tokenizer.h"
#include "proto/schema/tokenizer.pb-c.h"

/** Reads the file and sets file->settings. Errors: RN_ERR_NOT_FOUND, RN_ERR_IO, RN_ERR_FORMAT. */
rn_status rn_tiktoken_read(rn_err *err, const char *path, Retnet__Tokenizer *file);

/** Creates the tokenizer. Errors: RN_ERR_FORMAT naming file and line; RN_ERR_MEMORY. */
rn_status rn_tiktoken_create(rn_err *err, const Retnet__Tokenizer *file, const char *name,
                             uint64_t hash, rn_tokenizer **out);

/** The tables of a rank file. Zero-initialise. */
typedef struct rn_tiktoken {
  json_t *settings; /* pattern, special_tokens, end_of_text */
  rn_bpe_tokenizer *bpe;
  int32_t document; /* -1: none */
} rn_tiktoken;

/** Loads the tables. Ownership: rn_tiktoken_unload, also on failure. Errors: as rn_tiktoken_create.
 */
rn_status rn_tiktoken_load(rn_err *err, const Retnet__Tokenizer *file, rn_tiktoken *out);
void rn_tiktoken_unload(rn_tiktoken *tiktoken);

/** Files with which Hugging Face loads a tokenizer. */
typedef struct rn_hf_files {
  char *tokenizer, *config; /* tokenizer.json, tokenizer_config.json */
} rn_hf_files;

/**
 * Converts a rank file to tokenizer.json and tokenizer_config.json. Ownership: rn_hf_files_free.
 * Errors: RN_ERR_FORMAT for a pattern that cannot be translated; RN_ERR_MEMORY.
 */
rn_status rn_tiktoken_to_hf(rn_err *err, const Retnet__Tokenizer *file, rn_hf_files *out);
void rn_hf_files_free(rn_hf_files *texts);

#endif
