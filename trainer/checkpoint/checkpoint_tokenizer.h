/** Reads and checks the tokenizer that is stored in a checkpoint. */
#ifndef RN_TRAINER_CHECKPOINT_CHECKPOINT_TOKENIZER_H
#define RN_TRAINER_CHECKPOINT_CHECKPOINT_TOKENIZER_H

#include "data/batch/split.h"
#include "data/tokenizer/tokenizer_file.h"
#include "proto/schema/checkpoint.pb-c.h"
#include "trainer/checkpoint/checkpoint_model.h"

/**
 * Checks that `split`, in folder `dir`, was made with the checkpoint's tokenizer. Returns RN_OK if
 * the checkpoint does not record a tokenizer.
 * Errors: RN_ERR_USAGE naming both tokenizers.
 */
rn_status rn_checkpoint_check_tokenizer(rn_err *err, const char *checkpoint,
                                        const Retnet__Vocabulary *vocabulary, const rn_split *split,
                                        const char *dir);

/**
 * Unpacks the tokenizer of the checkpoint. Sets *out to NULL for the byte tokenizer.
 *
 * Ownership: the caller frees *out with rn_tokenizer_file_free.
 * Errors:    RN_ERR_USAGE if the checkpoint has no tokenizer; RN_ERR_FORMAT if its hash is wrong.
 */
rn_status rn_checkpoint_tokenizer_file(rn_err *err, const char *checkpoint,
                                       const Retnet__Vocabulary *vocabulary,
                                       Retnet__Tokenizer **out);

/**
 * Creates the tokenizer that is stored in the checkpoint of a model.
 *
 * Ownership: the caller destroys *out, also after an error.
 * Errors:    those of rn_checkpoint_tokenizer_file; RN_ERR_USAGE if the model has fewer ids than
 *            the tokenizer.
 */
rn_status rn_checkpoint_tokenizer(rn_err *err, const char *checkpoint,
                                  const rn_checkpoint_model *model, rn_tokenizer **out);

/** Returns the token to put before every text: the begin token that the checkpoint of an imported
 * model stores, otherwise the document token, which the caller passes as `document`. */
int32_t rn_checkpoint_begin_token(const Retnet__Vocabulary *vocabulary, int32_t document);

#endif
