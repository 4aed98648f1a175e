/** The tokenizer that the folder of a split carries. */
#ifndef RN_DATA_TEXT_SPLIT_TOKENIZER_H
#define RN_DATA_TEXT_SPLIT_TOKENIZER_H

#include "data/batch/split.h"
#include "data/tokenizer/tokenizer_file.h"

/**
 * Reads the tokenizer file beside the shards, and checks its hash against theirs. *out is NULL for
 * the byte tokenizer, and for token files that came without a tokenizer.
 *
 * Ownership: the caller frees *out with rn_tokenizer_file_free.
 * Errors:    RN_ERR_NOT_FOUND if the shards were made with a tokenizer whose file is missing;
 *            RN_ERR_FORMAT for a damaged one or one with another hash.
 */
rn_status rn_split_tokenizer_file(rn_err *err, const rn_split *split, Retnet__Tokenizer **out);

/** Creates the tokenizer of the split. Errors: as above; RN_ERR_USAGE if it came without one. */
rn_status rn_split_tokenizer(rn_err *err, const rn_split *split, rn_tokenizer **out);

#endif
