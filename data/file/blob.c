/* Packs and unpacks a zstd frame with its checksum, in memory and in a file. */
#include "data/file/blob.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>
#include <zstd.h>
#include <zstd_errors.h>

uint64_t rn_blob_sum(const void *bytes, size_t count) {
  return XXH3_64bits(bytes, count);
}

static bool lacks_memory(size_t result) {
  return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation;
}

size_t rn_blob_bound(size_t raw_bytes) {
  return ZSTD_compressBound(raw_bytes);
}

rn_status rn_blob_pack(rn_err *err, const void *raw, size_t raw_bytes, int level, void *stored,
                       size_t *stored_bytes) {
  ZSTD_CCtx *packer = ZSTD_createCCtx();
  if (packer == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while starting zstd");
  ZSTD_CCtx_setParameter(packer, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(packer, ZSTD_c_checksumFlag, 1);
  const size_t result = ZSTD_compress2(packer, stored, rn_blob_bound(raw_bytes), raw, raw_bytes);
  ZSTD_freeCCtx(packer);
  if (lacks_memory(result)) return rn_fail(err, RN_ERR_MEMORY, "out of memory while compressing");
  if (ZSTD_isError(result)) {
    return rn_fail(err, RN_ERR_LIBRARY, "zstd cannot compress %zu bytes: %s", raw_bytes,
                   ZSTD_getErrorName(result));
  }
  *stored_bytes = result;
  return RN_OK;
}

rn_status rn_blob_raw_bytes(rn_err *err, const char *where, const void *stored, size_t stored_bytes,
                            size_t max_bytes, size_t *raw_bytes) {
  size_t frame_bytes = ZSTD_findFrameCompressedSize(stored, stored_bytes);
  if (ZSTD_isError(frame_bytes) || frame_bytes != stored_bytes) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: its %zu bytes are not one complete zstd frame", where,
                   stored_bytes);
  }
  unsigned long long declared = ZSTD_getFrameContentSize(stored, stored_bytes);
  if (declared == ZSTD_CONTENTSIZE_UNKNOWN || declared == ZSTD_CONTENTSIZE_ERROR) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: the zstd frame does not declare its content size",
                   where);
  }
  if (declared > max_bytes) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: the zstd frame declares %llu bytes, but at most %zu are expected", where,
                   declared, max_bytes);
  }
  *raw_bytes = (size_t)declared;
  return RN_OK;
}

rn_status rn_blob_unpack(rn_err *err, const char *where, const void *stored, size_t stored_bytes,
                         void *raw, size_t raw_bytes) {
  size_t declared;
  RN_TRY(err, rn_blob_raw_bytes(err, where, stored, stored_bytes, raw_bytes, &declared));
  size_t result = ZSTD_decompress(raw, raw_bytes, stored, stored_bytes);
  if (lacks_memory(result))
    return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory while decompressing it", where);
  if (ZSTD_isError(result)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: the zstd frame is damaged: %s", where,
                   ZSTD_getErrorName(result));
  }
  if (result != raw_bytes) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: the zstd frame contains %zu bytes, but %zu are expected", where, result,
                   raw_bytes);
  }
  return RN_OK;
}

rn_status rn_blob_write(rn_err *err, const rn_file *file, int64_t offset, rn_bytes raw, int level,
                        rn_blob_extent *out) {
  rn_status status;
  size_t stored_bytes = 0;
  void *stored = malloc(rn_blob_bound(raw.count));
  if (stored == NULL) {
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while compressing %zu bytes for %s",
                   raw.count, file->path);
  }
  status = rn_blob_pack(err, raw.data, raw.count, level, stored, &stored_bytes);
  if (status != RN_OK) goto done;
  if ((status = rn_file_write(err, file, offset, stored, stored_bytes)) != RN_OK) goto done;
  *out = (rn_blob_extent){offset, (int64_t)stored_bytes, rn_blob_sum(stored, stored_bytes)};
done:
  free(stored);
  return status;
}

rn_status rn_blob_fetch(rn_err *err, const rn_file *file, rn_blob_extent extent, void **out) {
  rn_status status;
  if (extent.offset < 0 || extent.stored_bytes <= 0 || extent.offset > file->size_bytes ||
      extent.stored_bytes > file->size_bytes - extent.offset) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s is truncated or damaged: there should be %lld bytes of data at byte %lld, "
                   "but the file has only %lld bytes",
                   file->path, (long long)extent.stored_bytes, (long long)extent.offset,
                   (long long)file->size_bytes);
  }
  size_t bytes = (size_t)extent.stored_bytes;
  void *stored = malloc(bytes);
  if (stored == NULL) {
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while reading %zu bytes of %s", bytes,
                   file->path);
  }
  if ((status = rn_file_read(err, file, extent.offset, stored, bytes)) != RN_OK) goto fail;
  if (rn_blob_sum(stored, bytes) != extent.sum) {
    status = rn_fail(err, RN_ERR_FORMAT,
                     "%s is damaged: the checksum of the %zu bytes at byte %lld does not match",
                     file->path, bytes, (long long)extent.offset);
    goto fail;
  }
  *out = stored;
  return RN_OK;
fail:
  free(stored);
  return status;
}

rn_status rn_blob_read(rn_err *err, const rn_file *file, rn_blob_extent extent, size_t max_bytes,
                       void **out, size_t *raw_bytes) {
  void *stored = NULL, *raw = NULL;
  size_t stored_bytes = (size_t)extent.stored_bytes, size = 0;
  char where[1024];
  RN_TRY(err, rn_blob_fetch(err, file, extent, &stored));
  snprintf(where, sizeof where, "%s, byte %lld", file->path, (long long)extent.offset);
  rn_status status = rn_blob_raw_bytes(err, where, stored, stored_bytes, max_bytes, &size);
  if (status != RN_OK) goto done;
  raw = malloc(size + 1);
  if (raw == NULL) {
    status =
        rn_fail(err, RN_ERR_MEMORY, "out of memory: cannot allocate %zu bytes for %s", size, where);
    goto done;
  }
  status = rn_blob_unpack(err, where, stored, stored_bytes, raw, size);
  if (status != RN_OK) goto done;
  *out = raw;
  *raw_bytes = size;
  raw = NULL;
done:
  free(raw);
  free(stored);
  return status;
}
