/** Reads the tokenizer that is stored in the folder of a split. */
#ifndef RN_DATA_TEXT_SPLIT_TOKENIZER_H
#define RN_DATA_TEXT_SPLIT_TOKENIZER_H

#include "data/batch/split.h"
#include "data/tokenizer/tokenizer_file.h"

/**
 * Reads the tokenizer file from the folder of the shards and checks that its hash equals the one in
 * the shards. *out is NULL if the split was made with the byte tokenizer or without a tokenizer.
 *
 * Ownership: the caller frees *out with rn_tokenizer_file_free.
 * Errors:    RN_ERR_NOT_FOUND if the shards were made with a tokenizer whose file is missing;
 *            RN_ERR_FORMAT for a damaged file or one with another hash.
 */
rn_status rn_split_tokenizer_file(rn_err *err, const rn_split *split, Retnet__Tokenizer **out);

/** Creates the tokenizer of the split. Errors: as above; RN_ERR_USAGE if the split was made without
 * a tokenizer. */
rn_status rn_split_tokenizer(rn_err *err, const rn_split *split, rn_tokenizer **out);

#endif
