/**
 * A frame of a checkpoint file holds up to RN_CKPT_FRAME_ELEMENTS floats as one blob.
 *
 * Weights compress better if their bytes are shuffled into four planes, one per byte position,
 * because signs and exponents are similar and the low bits are noise. Moments of the optimizer that
 * are still zero do not benefit. To decide, the packer compresses a sample both ways.
 */
#ifndef RN_DATA_CHECKPOINT_CKPT_FRAME_H
#define RN_DATA_CHECKPOINT_CKPT_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "data/file/blob.h"
#include "proto/base/status.h"
#include "proto/schema/checkpoint.pb-c.h"

/** Scratch buffers for frames of up to `elements` elements, reused from frame to frame. */
typedef struct rn_ckpt_context {
  unsigned char *shuffled; /* the raw bytes of a frame */
  unsigned char *stored;   /* the compressed bytes; allocated for the worst case */
  int level;               /* zstd compression level; unused for reading */
} rn_ckpt_context;

/** Allocates the buffers; does not set out->level. */
rn_status rn_ckpt_context_create(rn_err *err, int64_t elements, rn_ckpt_context *out);
void rn_ckpt_context_destroy(rn_ckpt_context *context);

/** Packs `count` floats into context->stored; returns the encoding and the size. */
rn_status rn_ckpt_frame_pack(rn_err *err, rn_ckpt_context *context, const float *data,
                             int64_t count, Retnet__Encoding *encoding, size_t *stored_bytes);

/** Reads the frame of a slice: slice->count floats. Errors: RN_ERR_FORMAT naming the file. */
rn_status rn_ckpt_frame_read(rn_err *err, rn_ckpt_context *context, const rn_file *file,
                             const Retnet__Slice *slice, float *out /* [slice->count] */);

#endif
