/**
 * Byte-level BPE from a tokenizer.json of Hugging Face's tokenizers.
 *
 * Understood are model BPE (with ignore_merges), pre-tokenizers ByteLevel and Sequence of Split and
 * ByteLevel, and no normalizer; anything else that changes ids is an error that names it. The added
 * tokens are special tokens: in a text they are text. The document token is eos_token of
 * tokenizer_config.json beside the file, else an added token with a usual name for it.
 */
#ifndef RN_DATA_TOKENIZER_HF_JSON_H
#define RN_DATA_TOKENIZER_HF_JSON_H

#include "data/tokenizer/tokenizer.h"
#include "proto/schema/tokenizer.pb-c.h"

/**
 * Reads a tokenizer.json, or a folder with one, or the older pair vocab.json and merges.txt (a
 * folder, or the path of NAMEvocab.json), which becomes a tokenizer.json.
 */
rn_status rn_hf_read(rn_err *err, const char *path, Retnet__Tokenizer *file);

/** Creates the tokenizer. Errors: RN_ERR_FORMAT naming file and component; RN_ERR_MEMORY. */
rn_status rn_hf_create(rn_err *err, const Retnet__Tokenizer *file, const char *name, uint64_t hash,
                       rn_tokenizer **out);

#endif
