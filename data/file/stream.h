/** Reads any input to its end: a file, pipe, process substitution, device, or standard input. */
#ifndef RN_DATA_FILE_STREAM_H
#define RN_DATA_FILE_STREAM_H

#include <stddef.h>

#include "proto/base/status.h"

/**
 * Reads all bytes of `path`, or of standard input if it is NULL. Waits for data even on a
 * non-blocking pipe.
 *
 * Ownership: the caller frees *out; a zero byte is appended.
 * Errors:    RN_ERR_USAGE for an empty name; RN_ERR_NOT_FOUND, RN_ERR_IO; RN_ERR_FORMAT for a
 *            folder or more than `max_bytes`; RN_ERR_MEMORY. All except RN_ERR_USAGE name `path`.
 */
rn_status rn_stream_load(rn_err *err, const char *path, size_t max_bytes, void **out,
                         size_t *bytes);

typedef rn_status rn_stream_take(void *self, rn_err *err, const char *bytes, size_t count);

/**
 * Like rn_stream_load, but calls `take` with consecutive pieces of at most 1 MiB, so that memory
 * does not grow with the input.
 */
rn_status rn_stream_read(rn_err *err, const char *path, rn_stream_take *take, void *self);

#endif
