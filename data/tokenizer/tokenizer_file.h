/**
 * Defines how the content of a tokenizer is stored in data folders and checkpoints.
 *
 * The packed form is one zstd frame that holds a Tokenizer message (proto/schema/tokenizer.proto),
 * and a skippable frame with the XXH3-64 of all bytes before it, which files of older versions
 * lack. The hash of the tokenizer, XXH3-64 over kind, settings and content, is stored separately in
 * the data folder or checkpoint. Checksum and hash are checked when the tokenizer is read. The byte
 * tokenizer is not stored.
 */
#ifndef RN_DATA_TOKENIZER_TOKENIZER_FILE_H
#define RN_DATA_TOKENIZER_TOKENIZER_FILE_H

#include "data/tokenizer/tokenizer.h"
#include "proto/schema/tokenizer.pb-c.h"

/**
 * Reads the tokenizer that --tokenizer names: "bytes", "tiktoken:FILE", "hf:FILE|DIR" or
 * "spm:FILE". Sets *out to NULL for bytes.
 *
 * Ownership: the caller frees *out with rn_tokenizer_file_free.
 * Errors:    RN_ERR_USAGE for an unknown kind; RN_ERR_NOT_FOUND, RN_ERR_IO, RN_ERR_FORMAT.
 */
rn_status rn_tokenizer_file_read(rn_err *err, const char *text, Retnet__Tokenizer **out);
void rn_tokenizer_file_free(Retnet__Tokenizer *file);

/** Returns the hash of kind, settings and content. */
uint64_t rn_tokenizer_file_hash(const Retnet__Tokenizer *file);

/** Creates the tokenizer of a file, or the byte tokenizer if `file` is NULL. Errors: RN_ERR_FORMAT
 * naming the file; RN_ERR_MEMORY. */
rn_status rn_tokenizer_create(rn_err *err, const Retnet__Tokenizer *file, rn_tokenizer **out);

/** Converts a Tokenizer message to the packed form. Ownership: the caller frees *packed. */
rn_status rn_tokenizer_file_pack(rn_err *err, const Retnet__Tokenizer *file, void **packed,
                                 size_t *bytes);

/**
 * Converts the packed form to a Tokenizer message, and checks that the hash of the tokenizer is
 * `hash`. For export, the message also has the name (file_name) and the bytes (content) of the
 * original file.
 *
 * Errors: RN_ERR_FORMAT naming `where`; RN_ERR_MEMORY.
 */
rn_status rn_tokenizer_file_unpack(rn_err *err, const char *where, const void *packed, size_t bytes,
                                   uint64_t hash, Retnet__Tokenizer **out);

#endif
