/** The tokenizer that a checkpoint carries. */
#ifndef RN_TRAINER_CHECKPOINT_CHECKPOINT_TOKENIZER_H
#define RN_TRAINER_CHECKPOINT_CHECKPOINT_TOKENIZER_H

#include "data/batch/split.h"
#include "data/tokenizer/tokenizer_file.h"
#include "proto/schema/checkpoint.pb-c.h"

/**
 * Checks that the tokens of `split`, in folder `dir`, are those of the checkpoint's tokenizer. A
 * checkpoint that does not record its tokenizer passes.
 * Errors: RN_ERR_USAGE naming both tokenizers.
 */
rn_status rn_checkpoint_check_tokenizer(rn_err *err, const char *checkpoint,
                                        const Retnet__Vocabulary *vocabulary, const rn_split *split,
                                        const char *dir);

/**
 * Unpacks the tokenizer that the checkpoint carries. *out is NULL for the byte tokenizer.
 *
 * Ownership: the caller frees *out with rn_tokenizer_file_free.
 * Errors:    RN_ERR_USAGE if the checkpoint carries none; RN_ERR_FORMAT for another hash.
 */
rn_status rn_checkpoint_tokenizer_file(rn_err *err, const char *checkpoint,
                                       const Retnet__Vocabulary *vocabulary,
                                       Retnet__Tokenizer **out);

#endif
