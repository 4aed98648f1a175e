/* Packs floats into a zstd frame, byte-shuffled if that compresses better, and unpacks them. */
#include "data/checkpoint/ckpt_frame.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/checkpoint/ckpt.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "frames store the floats of this host, which must be little-endian");

enum { FLOAT_BYTES = 4, SAMPLE_ELEMENTS = 16384 };

rn_status rn_ckpt_context_create(rn_err *err, int64_t elements, rn_ckpt_context *out) {
  size_t raw_bytes = (size_t)elements * FLOAT_BYTES;
  out->shuffled = malloc(raw_bytes);
  out->stored = malloc(rn_blob_bound(raw_bytes));
  if (out->shuffled != NULL && out->stored != NULL) return RN_OK;
  rn_ckpt_context_destroy(out);
  return rn_fail(err, RN_ERR_MEMORY,
                 "out of memory: cannot allocate %zu bytes for a checkpoint frame", raw_bytes);
}

void rn_ckpt_context_destroy(rn_ckpt_context *context) {
  free(context->shuffled);
  free(context->stored);
  *context = (rn_ckpt_context){0};
}

/* Number of elements shuffled at a time. They stay in the L1 cache while all four byte planes are
 * written. */
enum { L1_ELEMENTS = 4096 };

static void shuffle_piece(const uint32_t *bits, int64_t n, int64_t plane, unsigned char *out) {
  for (int k = 0; k < FLOAT_BYTES; k++) {
    unsigned char *to = out + k * plane;
    for (int64_t i = 0; i < n; i++) to[i] = (unsigned char)(bits[i] >> 8 * k);
  }
}

static void shuffle(const float *data, int64_t count, unsigned char *out) {
  uint32_t bits[L1_ELEMENTS];
  for (int64_t first = 0; first < count; first += L1_ELEMENTS) {
    const int64_t n = count - first < L1_ELEMENTS ? count - first : L1_ELEMENTS;
    memcpy(bits, data + first, (size_t)n * FLOAT_BYTES);
    shuffle_piece(bits, n, count, out + first);
  }
}

static void unshuffle(const unsigned char *in, int64_t count, float *out) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t bits = 0;
    for (int k = 0; k < FLOAT_BYTES; k++) bits |= (uint32_t)in[k * count + i] << 8 * k;
    memcpy(&out[i], &bits, sizeof bits);
  }
}

/* Sets *prefers to true if a sample from the start of the data compresses better with its bytes
 * shuffled. */
static rn_status sample_prefers_shuffle(rn_err *err, rn_ckpt_context *context, const float *data,
                                        int64_t count, bool *prefers) {
  int64_t sample = count < SAMPLE_ELEMENTS ? count : SAMPLE_ELEMENTS;
  size_t bytes = (size_t)sample * FLOAT_BYTES, plain, shuffled;
  RN_TRY(err, rn_blob_pack(err, data, bytes, context->level, context->stored, &plain));
  shuffle(data, sample, context->shuffled);
  RN_TRY(err,
         rn_blob_pack(err, context->shuffled, bytes, context->level, context->stored, &shuffled));
  *prefers = shuffled < plain;
  return RN_OK;
}

rn_status rn_ckpt_frame_pack(rn_err *err, rn_ckpt_context *context, const float *data,
                             int64_t count, Retnet__Encoding *encoding, size_t *stored_bytes) {
  assert(count > 0 && count <= RN_CKPT_FRAME_ELEMENTS);
  bool sorted = false;
  const void *raw = data;
  RN_TRY(err, sample_prefers_shuffle(err, context, data, count, &sorted));
  if (sorted) {
    shuffle(data, count, context->shuffled);
    raw = context->shuffled;
  }
  *encoding = sorted ? RETNET__ENCODING__ENCODING_SHUFFLED : RETNET__ENCODING__ENCODING_PLAIN;
  return rn_blob_pack(err, raw, (size_t)count * FLOAT_BYTES, context->level, context->stored,
                      stored_bytes);
}

rn_status rn_ckpt_frame_read(rn_err *err, rn_ckpt_context *context, const rn_file *file,
                             const Retnet__Slice *slice, float *out) {
  assert(slice->count > 0 && slice->count <= RN_CKPT_FRAME_ELEMENTS);
  bool sorted = slice->encoding == RETNET__ENCODING__ENCODING_SHUFFLED;
  rn_blob_extent extent = {slice->offset, slice->stored_bytes, slice->sum};
  char where[RN_PATH_BYTES + 32];
  void *stored = NULL, *raw = sorted ? (void *)context->shuffled : (void *)out;
  snprintf(where, sizeof where, "%s, byte %lld", file->path, (long long)slice->offset);
  RN_TRY(err, rn_blob_fetch(err, file, extent, &stored));
  rn_status status = rn_blob_unpack(err, where, stored, (size_t)slice->stored_bytes, raw,
                                    (size_t)slice->count * FLOAT_BYTES);
  if (status == RN_OK && sorted) unshuffle(raw, slice->count, out);
  free(stored);
  return status;
}
