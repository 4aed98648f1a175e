/** Exports and imports the tokenizer of a model: tokenizer.json, tokenizer.model, or a tiktoken
 * rank file. */
#ifndef RN_TRAINER_EXCHANGE_EXCHANGE_TOKENIZER_H
#define RN_TRAINER_EXCHANGE_EXCHANGE_TOKENIZER_H

#include "proto/base/status.h"
#include "proto/schema/checkpoint.pb-c.h"

/**
 * Writes the tokenizer of a checkpoint into a folder, byte for byte as it was read. A tiktoken rank
 * file is written a second time, as tokenizer.json. Does nothing if the checkpoint has no
 * tokenizer.
 *
 * Errors: RN_ERR_FORMAT naming `where` if the tokenizer's hash is wrong; RN_ERR_IO, RN_ERR_MEMORY.
 */
rn_status rn_exchange_write_tokenizer(rn_err *err, const char *where,
                                      const Retnet__Vocabulary *vocabulary, const char *folder);

/**
 * Reads the tokenizer of a folder into the fields of `vocabulary` that describe it. Changes nothing
 * if the folder has none. If this program does not support a tokenizer, or its vocabulary is larger
 * than the model's, prints a warning on stderr and tries the folder's next tokenizer; if there is
 * none, changes nothing.
 *
 * Ownership: rn_exchange_free_tokenizer frees the fields.
 * Errors:    RN_ERR_IO, RN_ERR_MEMORY.
 */
rn_status rn_exchange_read_tokenizer(rn_err *err, const char *folder,
                                     Retnet__Vocabulary *vocabulary);
void rn_exchange_free_tokenizer(Retnet__Vocabulary *vocabulary);

#endif
