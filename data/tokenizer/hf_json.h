/**
 * Reads byte-level BPE tokenizers from a tokenizer.json of Hugging Face's tokenizers.
 *
 * Supports the model BPE (with ignore_merges) and two pre-tokenizers: ByteLevel, and a Sequence of
 * Split and ByteLevel. Any other component that changes ids, such as a normalizer, is an error that
 * names the component. Added tokens become special tokens, which are not recognised in texts unless
 * they are allowed. The document token is the eos_token of tokenizer_config.json in the same
 * folder. If no eos_token is found there, it is an added token with a usual name, such as
 * <|endoftext|>.
 */
#ifndef RN_DATA_TOKENIZER_HF_JSON_H
#define RN_DATA_TOKENIZER_HF_JSON_H

#include "data/tokenizer/tokenizer.h"
#include "proto/schema/tokenizer.pb-c.h"

/**
 * Reads a tokenizer.json, or a folder with one. Also reads the older pair vocab.json and merges.txt
 * (a folder, or the path of NAMEvocab.json) and converts it to a tokenizer.json.
 */
rn_status rn_hf_read(rn_err *err, const char *path, Retnet__Tokenizer *file);

/** Creates the tokenizer. Errors: RN_ERR_FORMAT naming file and component; RN_ERR_MEMORY. */
rn_status rn_hf_create(rn_err *err, const Retnet__Tokenizer *file, const char *name, uint64_t hash,
                       rn_tokenizer **out);

#endif
