/**
 * A blob is one zstd frame with an XXH3-64 checksum of its stored bytes.
 *
 * Blobs are the smallest units of shards and checkpoints. Input is untrusted: the checksum is
 * verified first, the frame must fill its extent exactly, and its declared content size is checked
 * against the caller's limit before memory is allocated for it.
 */
#ifndef RN_DATA_FILE_BLOB_H
#define RN_DATA_FILE_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "data/file/file.h"
#include "proto/base/status.h"

/** The position and the checksum of a blob in a file. */
typedef struct rn_blob_extent {
  int64_t offset;
  int64_t stored_bytes;
  uint64_t sum;
} rn_blob_extent;

/** Bytes in memory. */
typedef struct rn_bytes {
  const void *data;
  size_t count;
} rn_bytes;

/** Returns the XXH3-64 of the stored bytes. */
uint64_t rn_blob_sum(const void *bytes, size_t count);

/** Returns an upper bound of the packed size of `raw_bytes`. */
size_t rn_blob_bound(size_t raw_bytes);

/**
 * Compresses `raw` into one frame that declares its content size; equal input gives equal bytes.
 * The frame also has zstd's content checksum, so that damage is found even if the extent's checksum
 * is lost.
 *
 * Shapes: stored [rn_blob_bound(raw_bytes)].
 */
rn_status rn_blob_pack(rn_err *err, const void *raw, size_t raw_bytes, int level, void *stored,
                       size_t *stored_bytes);

/**
 * Reads the content size of a frame from its header, without unpacking the frame.
 *
 * Errors: RN_ERR_FORMAT, naming `where`, unless `stored` is exactly one whole frame that declares a
 * content size of at most `max_bytes`.
 */
rn_status rn_blob_raw_bytes(rn_err *err, const char *where, const void *stored, size_t stored_bytes,
                            size_t max_bytes, size_t *raw_bytes);

/** Unpacks a frame whose content is exactly `raw_bytes`. Errors: RN_ERR_FORMAT naming `where`. */
rn_status rn_blob_unpack(rn_err *err, const char *where, const void *stored, size_t stored_bytes,
                         void *raw, size_t raw_bytes);

/** Packs `raw` and writes the blob at `offset`; returns its extent in *out. */
rn_status rn_blob_write(rn_err *err, const rn_file *file, int64_t offset, rn_bytes raw, int level,
                        rn_blob_extent *out);

/**
 * Reads the stored bytes of an extent and verifies their checksum.
 *
 * Ownership: the caller frees *stored.
 * Errors:    RN_ERR_FORMAT, naming file and offset, for an extent outside the file or a wrong
 *            checksum.
 */
rn_status rn_blob_fetch(rn_err *err, const rn_file *file, rn_blob_extent extent, void **stored);

/**
 * Reads, checks and unpacks a blob of at most `max_bytes`.
 *
 * Ownership: the caller frees *raw.
 */
rn_status rn_blob_read(rn_err *err, const rn_file *file, rn_blob_extent extent, size_t max_bytes,
                       void **raw, size_t *raw_bytes);

#endif
