/**
 * Stores the state of a model that has read a text, so that a long prompt is processed only once.
 *
 *   frames    the bytes of the state, as a sequence of zstd frames
 *   message   a GenerationState (proto/schema/state.proto): which model and tokenizer, the tokens,
 *             and size and checksum of each frame
 *   trailer   magic "RNSTATE1", length of the message, XXH3-64 of the message
 *
 * A checksum covers every byte. Equal content gives equal bytes.
 */
#ifndef RN_DATA_STATE_STATE_FILE_H
#define RN_DATA_STATE_STATE_FILE_H

#include "data/file/file.h"
#include "proto/schema/state.pb-c.h"

/** A file that is being written. Zero-initialise. */
typedef struct rn_state_writer {
  rn_file file; /* temporary file beside `path` */
  rn_path path;
  int64_t bytes;
  Retnet__StateFrame *frame;
  size_t frames, capacity;
} rn_state_writer;

/** Creates a temporary file in the folder of `path`; its name contains the process id. Removes
 * temporary files for the same `path` that killed processes of this host have left. Errors: those
 * of rn_file_resolve_symlink, rn_file_check_target and rn_file_create. */
rn_status rn_state_writer_open(rn_err *err, const char *path, rn_state_writer *out);

/** Appends bytes of the state, at least 1, as a frame. Errors: RN_ERR_MEMORY, RN_ERR_IO. */
rn_status rn_state_writer_add(rn_err *err, rn_state_writer *writer, const void *data, size_t bytes);

/** Sets the fields `format` and `frame` in a copy of the message, writes this copy, and renames the
 * file to its final name, durably. Errors: RN_ERR_MEMORY, RN_ERR_IO. */
rn_status rn_state_writer_commit(rn_err *err, rn_state_writer *writer,
                                 const Retnet__GenerationState *message);

/** Frees the memory; removes the temporary file if it was not committed. */
void rn_state_writer_close(rn_state_writer *writer);

/** An open state file. Zero-initialise. */
typedef struct rn_state_reader {
  rn_file file;
  Retnet__GenerationState *message;
} rn_state_reader;

/**
 * Opens a file and reads its message. Checks, without reading the frames, that they fill the file
 * exactly. Also checks the counts of the message: the number of tokens that the model has read
 * (`read`) must be less than the number of tokens; if the last token was sampled (`drawn`), it must
 * be the only one that the model has not read.
 *
 * Errors: RN_ERR_NOT_FOUND, RN_ERR_IO; RN_ERR_FORMAT for a truncated or damaged file, or another
 *         kind of file; RN_ERR_MISMATCH for a later format.
 */
rn_status rn_state_reader_open(rn_err *err, const char *path, rn_state_reader *out);

/**
 * Reads the whole state from all frames.
 *
 * Ownership: the caller frees *state.
 * Errors:    RN_ERR_FORMAT naming the file, also if the state has more than `max_bytes`, which is
 *            checked before memory is allocated; RN_ERR_MEMORY.
 */
rn_status rn_state_reader_read(rn_err *err, const rn_state_reader *reader, size_t max_bytes,
                               void **state, size_t *bytes);

/** Closes the file and frees the message. */
void rn_state_reader_close(rn_state_reader *reader);

#endif
