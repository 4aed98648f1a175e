#include "data/file/unpack.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "proto/base/arena.h"

enum { PLAIN_BYTES = 1 << 17, GZIP_WINDOW_BITS = 15 + 16 /* zlib: + 16 selects gzip */ };

struct rn_unpack {
  const char *path;
  rn_packing packing;
  bool inside;       /* a frame or member has begun and not ended */
  bool member_ended; /* at least one gzip member has ended */
  bool padded;       /* zeros were read after a gzip member: nothing else may follow */
  ZSTD_DCtx *zstd;
  z_stream gzip;
  bool gzip_ready;
  char *plain; /* [PLAIN_BYTES] */
};

static bool ends_with(const char *path, const char *end) {
  const size_t length = strlen(path), tail = strlen(end);
  return length >= tail && strcasecmp(path + length - tail, end) == 0;
}

rn_packing rn_packing_of(const char *path) {
  if (ends_with(path, ".zst")) return RN_PACKING_ZSTD;
  return ends_with(path, ".gz") ? RN_PACKING_GZIP : RN_PACKING_NONE;
}

rn_path rn_packing_removed(const char *path) {
  const size_t extension[] = {
      [RN_PACKING_ZSTD] = strlen(".zst"), [RN_PACKING_GZIP] = strlen(".gz")};
  rn_path plain;
  snprintf(plain.text, sizeof plain.text, "%.*s",
           (int)(strlen(path) - extension[rn_packing_of(path)]), path);
  return plain;
}

static rn_status open_library(rn_err *err, rn_unpack *u) {
  if (u->packing == RN_PACKING_ZSTD) u->zstd = ZSTD_createDCtx();
  if (u->packing == RN_PACKING_GZIP) {
    u->gzip_ready = inflateInit2(&u->gzip, GZIP_WINDOW_BITS) == Z_OK;
  }
  if (u->packing == RN_PACKING_NONE || u->zstd != NULL || u->gzip_ready) return RN_OK;
  return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory while decompressing it", u->path);
}

rn_status rn_unpack_create(rn_err *err, const char *path, rn_packing packing, rn_unpack **out) {
  rn_unpack *u = NULL;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "decompressor", 1, sizeof *u, &u));
  u->path = path;
  u->packing = packing;
  rn_status status = open_library(err, u);
  if (status == RN_OK) status = rn_alloc(err, "decompressor", PLAIN_BYTES, 1, &u->plain);
  if (status != RN_OK) rn_unpack_destroy(&u);
  *out = u;
  return status;
}

void rn_unpack_destroy(rn_unpack **unpack) {
  rn_unpack *u = *unpack;
  if (u == NULL) return;
  ZSTD_freeDCtx(u->zstd);
  if (u->gzip_ready) inflateEnd(&u->gzip);
  free(u->plain);
  free(u);
  *unpack = NULL;
}

static rn_status add_zstd(rn_err *err, rn_unpack *u, const char *bytes, size_t count,
                          rn_stream_take *take, void *self) {
  ZSTD_inBuffer in = {bytes, count, 0};
  for (bool full = false; in.pos < in.size || full;) {
    ZSTD_outBuffer out = {u->plain, PLAIN_BYTES, 0};
    const size_t left = ZSTD_decompressStream(u->zstd, &out, &in);
    if (ZSTD_isError(left)) {
      if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation)
        return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory while decompressing it", u->path);
      return rn_fail(err, RN_ERR_FORMAT, "%s: damaged zstd data", u->path);
    }
    u->inside = left != 0;
    RN_TRY(err, take(self, err, u->plain, out.pos));
    /* Stop at the end of a frame: another call without input would begin a new frame. */
    full = out.pos == out.size && u->inside;
  }
  return RN_OK;
}

/* Skips zeros between gzip members. Like gzip, accepts zeros that fill up the last block of a
 * tape. */
static void skip_padding(rn_unpack *u) {
  while (u->gzip.avail_in > 0 && *u->gzip.next_in == 0) {
    u->gzip.next_in++;
    u->gzip.avail_in--;
    u->padded = true;
  }
}

static rn_status damaged_gzip(rn_err *err, const rn_unpack *u) {
  return rn_fail(err, RN_ERR_FORMAT, "%s: damaged gzip data%s%s", u->path,
                 u->gzip.msg != NULL ? ": " : "", u->gzip.msg != NULL ? u->gzip.msg : "");
}

static rn_status inflate_some(rn_err *err, rn_unpack *u, rn_stream_take *take, void *self) {
  u->gzip.next_out = (unsigned char *)u->plain;
  u->gzip.avail_out = PLAIN_BYTES;
  const int result = inflate(&u->gzip, Z_NO_FLUSH);
  if (result == Z_MEM_ERROR) return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", u->path);
  if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
    return damaged_gzip(err, u);
  }
  u->inside = result != Z_STREAM_END;
  u->member_ended = u->member_ended || !u->inside;
  RN_TRY(err, take(self, err, u->plain, PLAIN_BYTES - u->gzip.avail_out));
  if (!u->inside && inflateReset(&u->gzip) != Z_OK) return damaged_gzip(err, u);
  return RN_OK;
}

static rn_status add_gzip(rn_err *err, rn_unpack *u, const char *bytes, size_t count,
                          rn_stream_take *take, void *self) {
  u->gzip.next_in = (unsigned char *)(uintptr_t)bytes; /* zlib does not write to its input */
  u->gzip.avail_in = (unsigned)count;
  for (bool full = false; u->gzip.avail_in > 0 || full;) {
    if (!u->inside && u->member_ended) skip_padding(u);
    if (u->gzip.avail_in == 0 && !full) return RN_OK;
    if (u->padded) return damaged_gzip(err, u);
    RN_TRY(err, inflate_some(err, u, take, self));
    full = u->inside && u->gzip.avail_out == 0;
  }
  return RN_OK;
}

rn_status rn_unpack_add(rn_err *err, rn_unpack *u, const char *bytes, size_t count,
                        rn_stream_take *take, void *self) {
  switch (u->packing) {
    case RN_PACKING_ZSTD:
      return add_zstd(err, u, bytes, count, take, self);
    case RN_PACKING_GZIP:
      return add_gzip(err, u, bytes, count, take, self);
    default:
      return take(self, err, bytes, count);
  }
}

rn_status rn_unpack_finish(rn_err *err, const rn_unpack *u) {
  if (!u->inside) return RN_OK;
  return rn_fail(err, RN_ERR_FORMAT, "%s: its %s data are truncated", u->path,
                 u->packing == RN_PACKING_ZSTD ? "zstd" : "gzip");
}
