/**
 * Creates tokenizers for sentencepiece models, which encode and decode with the sentencepiece
 * library.
 *
 * The document token is </s>. If a model has no </s>, a new id after all others becomes the
 * document token. A model may normalise texts, so decoding does not always return the original
 * text.
 */
#ifndef RN_DATA_TOKENIZER_SPM_H
#define RN_DATA_TOKENIZER_SPM_H

#include "data/tokenizer/tokenizer.h"
#include "proto/schema/tokenizer.pb-c.h"

/** Reads the file. Errors: RN_ERR_NOT_FOUND, RN_ERR_IO, RN_ERR_FORMAT. */
rn_status rn_spm_read(rn_err *err, const char *path, Retnet__Tokenizer *file);

/** Creates the tokenizer. Errors: RN_ERR_FORMAT naming the file; RN_ERR_LIBRARY if this build has
 * no sentencepiece; RN_ERR_MEMORY. */
rn_status rn_spm_create(rn_err *err, const Retnet__Tokenizer *file, const char *name, uint64_t hash,
                        rn_tokenizer **out);

#endif
