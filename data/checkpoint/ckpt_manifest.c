/* Reads and writes the manifest file: the packed message, then magic, length and XXH3-64
 * checksum. */
#include "data/checkpoint/ckpt_manifest.h"

#include <stdlib.h>
#include <string.h>

#include "data/checkpoint/ckpt_index.h"
#include "data/file/blob.h"
#include "data/file/file.h"
#include "data/file/little_endian.h"
#include "data/file/message.h"
#include "proto/options/options.h"

enum { MAGIC_BYTES = 8, TRAILER_BYTES = 24, MAX_BYTES = 1 << 30 };

static const char magic[MAGIC_BYTES + 1] = "RNMANIF1";

static void make_trailer(const unsigned char *message, size_t bytes, unsigned char *out) {
  memcpy(out, magic, MAGIC_BYTES);
  rn_put_u64(out + 8, bytes);
  rn_put_u64(out + 16, rn_blob_sum(message, bytes));
}

rn_status rn_ckpt_manifest_write(rn_err *err, const char *path, const Retnet__Manifest *manifest) {
  size_t bytes = retnet__manifest__get_packed_size(manifest);
  if (bytes > MAX_BYTES) {
    return rn_fail(err, RN_ERR_IO,
                   "cannot write %s: the manifest has %zu bytes, more than the limit of %zu", path,
                   bytes, (size_t)MAX_BYTES);
  }
  unsigned char *content = malloc(bytes + TRAILER_BYTES);
  if (content == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing %s", path);
  retnet__manifest__pack(manifest, content);
  make_trailer(content, bytes, content + bytes);
  rn_status status = rn_file_replace(err, path, content, bytes + TRAILER_BYTES);
  free(content);
  return status;
}

/* Adds the configuration sections that were not stored, with default values. */
static rn_status complete(rn_err *err, Retnet__Manifest *manifest) {
  RN_TRY(err, rn_options_complete(err, manifest->config));
  return manifest->effective != NULL ? rn_options_complete(err, manifest->effective) : RN_OK;
}

static rn_status unpack(rn_err *err, const char *path, const unsigned char *content, size_t size,
                        Retnet__Manifest **out) {
  unsigned char trailer[TRAILER_BYTES];
  size_t bytes = size < TRAILER_BYTES ? 0 : size - TRAILER_BYTES;
  make_trailer(content, bytes, trailer);
  if (size < TRAILER_BYTES || memcmp(trailer, content + bytes, TRAILER_BYTES) != 0) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s is truncated or damaged: the checksum in its trailer does not match", path);
  }
  Retnet__Manifest *manifest;
  RN_TRY(err, rn_message_unpack(err, path, "not a manifest", &retnet__manifest__descriptor,
                                (rn_bytes){content, bytes}, &manifest));
  if (manifest->format > RN_CKPT_FORMAT) {
    rn_status status =
        rn_fail(err, RN_ERR_MISMATCH,
                "%s has format %u of a later version; this version reads formats up to %d", path,
                manifest->format, RN_CKPT_FORMAT);
    retnet__manifest__free_unpacked(manifest, NULL);
    return status;
  }
  const rn_status status = complete(err, manifest);
  if (status != RN_OK) {
    retnet__manifest__free_unpacked(manifest, NULL);
    return status;
  }
  *out = manifest;
  return RN_OK;
}

rn_status rn_ckpt_manifest_read(rn_err *err, const char *path, Retnet__Manifest **out) {
  void *content = NULL;
  size_t size = 0;
  RN_TRY(err, rn_file_load(err, path, (size_t)MAX_BYTES + TRAILER_BYTES, &content, &size));
  rn_status status = unpack(err, path, content, size, out);
  free(content);
  return status;
}
