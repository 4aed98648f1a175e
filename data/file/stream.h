/** Whatever can be read to its end: files, pipes, process substitutions, devices, standard input.
 */
#ifndef RN_DATA_FILE_STREAM_H
#define RN_DATA_FILE_STREAM_H

#include <stddef.h>

#include "proto/base/status.h"

/**
 * All bytes of `path`, or of standard input where it is NULL. A pipe is waited for, even one that
 * was made non-blocking.
 *
 * Ownership: the caller frees *out; a zero byte follows the last one.
 * Errors:    RN_ERR_USAGE for an empty name; RN_ERR_NOT_FOUND, RN_ERR_IO when a read fails,
 * RN_ERR_FORMAT for a folder or when there are more than `most_bytes`, RN_ERR_MEMORY; all name the
 * path.
 */
rn_status rn_stream_load(rn_err *err, const char *path, size_t most_bytes, void **out,
                         size_t *bytes);

#endif
