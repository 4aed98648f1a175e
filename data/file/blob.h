/**
 * A blob: one zstd frame with an XXH3-64 sum over its bytes as stored.
 *
 * The smallest unit of shards and checkpoints. Reading trusts nothing: the sum is checked first,
 * the frame must fill its place exactly, and its declared content size is held against the
 * caller's limit before any memory is taken.
 */
#ifndef RN_DATA_FILE_BLOB_H
#define RN_DATA_FILE_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "data/file/file.h"
#include "proto/base/status.h"

/** Where a blob lies in its file, and the sum over it. */
typedef struct rn_blob_extent {
  int64_t offset;
  int64_t stored_bytes;
  uint64_t sum;
} rn_blob_extent;

/** XXH3-64 of bytes as stored. */
uint64_t rn_blob_sum(const void *bytes, size_t count);

/** The most bytes that `raw_bytes` can take when packed. */
size_t rn_blob_bound(size_t raw_bytes);

/**
 * Compresses into one frame that declares its content size; equal input gives equal bytes. The
 * frame holds zstd's own sum of its content, so that damage shows where the place's sum is lost.
 *
 * Ownership: `stored` has room for rn_blob_bound(raw_bytes).
 */
rn_status rn_blob_pack(rn_err *err, const void *raw, size_t raw_bytes, int level, void *stored,
                       size_t *stored_bytes);

/**
 * Bytes that a frame unpacks to, from its header alone.
 *
 * Errors: RN_ERR_FORMAT, naming `where`, unless `stored` is exactly one whole frame that declares
 *         its content size, at most `most_bytes`.
 */
rn_status rn_blob_raw_bytes(rn_err *err, const char *where, const void *stored, size_t stored_bytes,
                            size_t most_bytes, size_t *raw_bytes);

/** Unpacks a frame whose content is exactly `raw_bytes`. Errors: RN_ERR_FORMAT naming `where`. */
rn_status rn_blob_unpack(rn_err *err, const char *where, const void *stored, size_t stored_bytes,
                         void *raw, size_t raw_bytes);

/** Packs, writes at `offset`, and tells the place. */
rn_status rn_blob_write(rn_err *err, const rn_file *file, int64_t offset, const void *raw,
                        size_t raw_bytes, int level, rn_blob_extent *out);

/**
 * Stored bytes at a place, their sum checked.
 *
 * Ownership: the caller frees *stored.
 * Errors:    RN_ERR_FORMAT for a place outside the file or a sum that differs; names file, offset.
 */
rn_status rn_blob_fetch(rn_err *err, const rn_file *file, rn_blob_extent place, void **stored);

/**
 * Reads, checks and unpacks a blob of at most `most_bytes`.
 *
 * Ownership: the caller frees *raw.
 */
rn_status rn_blob_read(rn_err *err, const rn_file *file, rn_blob_extent place, size_t most_bytes,
                       void **raw, size_t *raw_bytes);

#endif
