/**
 * A tokenizer by content: what data folders and checkpoints carry.
 *
 * The packed form is one zstd frame that holds a Tokenizer message (proto/schema/tokenizer.proto).
 * Its hash, XXH3-64 over kind, settings and content, is stored beside it by whoever carries it, and
 * is checked when it is read. The byte tokenizer has no file.
 */
#ifndef RN_DATA_TOKENIZER_TOKENIZER_FILE_H
#define RN_DATA_TOKENIZER_TOKENIZER_FILE_H

#include "data/tokenizer/tokenizer.h"
#include "proto/schema/tokenizer.pb-c.h"

/**
 * Reads what --tokenizer names: "bytes", "tiktoken:FILE", "hf:FILE|DIR" or "spm:FILE". *out is NULL
 * for bytes.
 *
 * Ownership: the caller frees *out with rn_tokenizer_file_free.
 * Errors:    RN_ERR_USAGE for another kind; RN_ERR_NOT_FOUND, RN_ERR_IO, RN_ERR_FORMAT.
 */
rn_status rn_tokenizer_file_read(rn_err *err, const char *text, Retnet__Tokenizer **out);
void rn_tokenizer_file_free(Retnet__Tokenizer *file);

/** The hash of the content. */
uint64_t rn_tokenizer_file_hash(const Retnet__Tokenizer *file);

/** Creates the tokenizer of a file; NULL gives the byte tokenizer. Errors: RN_ERR_FORMAT naming the
 * file; RN_ERR_MEMORY. */
rn_status rn_tokenizer_create(rn_err *err, const Retnet__Tokenizer *file, rn_tokenizer **out);

/** Packs. Ownership: the caller frees *packed. */
rn_status rn_tokenizer_file_pack(rn_err *err, const Retnet__Tokenizer *file, void **packed,
                                 size_t *bytes);

/**
 * Unpacks and checks that the content has the hash `hash`. The file's name and bytes, which an
 * export writes, are file_name and content of the message.
 *
 * Errors: RN_ERR_FORMAT naming `where`; RN_ERR_MEMORY.
 */
rn_status rn_tokenizer_file_unpack(rn_err *err, const char *where, const void *packed, size_t bytes,
                                   uint64_t hash, Retnet__Tokenizer **out);

#endif
