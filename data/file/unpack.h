/** Decompresses a stream of any number of zstd frames or gzip members, piece by piece. */
#ifndef RN_DATA_FILE_UNPACK_H
#define RN_DATA_FILE_UNPACK_H

#include "data/file/file.h"
#include "data/file/stream.h"

typedef enum rn_packing { RN_PACKING_NONE, RN_PACKING_ZSTD, RN_PACKING_GZIP } rn_packing;

/** Returns the compression format that the extension of a file name indicates: .zst or .gz, in
 * upper or lower case. */
rn_packing rn_packing_of(const char *path);

/** Returns the path without the extension .zst or .gz. */
rn_path rn_packing_removed(const char *path);

typedef struct rn_unpack rn_unpack;

/**
 * Creates a decompressor; `path` is for messages. RN_PACKING_NONE passes the bytes on unchanged.
 * Ownership: the path must outlive the object. Errors: RN_ERR_MEMORY.
 */
rn_status rn_unpack_create(rn_err *err, const char *path, rn_packing packing, rn_unpack **out);
void rn_unpack_destroy(rn_unpack **unpack);

/** Decompresses the next `count` stored bytes and calls `take` with the content. Errors:
 * RN_ERR_FORMAT; those of `take`. */
rn_status rn_unpack_add(rn_err *err, rn_unpack *unpack, const char *bytes, size_t count,
                        rn_stream_take *take, void *self);

/** Checks that the data are complete; must be called after the last bytes. Errors: RN_ERR_FORMAT if
 * the data are truncated. */
rn_status rn_unpack_finish(rn_err *err, const rn_unpack *unpack);

#endif
