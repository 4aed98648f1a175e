/**
 * A frame of a part: up to RN_CKPT_FRAME_ELEMENTS floats as one blob.
 *
 * Weights compress better with their bytes sorted by significance (signs and exponents are alike,
 * the last bits are noise), moments that are still zero do not: a sample decides.
 */
#ifndef RN_DATA_CKPT_FRAME_H
#define RN_DATA_CKPT_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "data/blob.h"
#include "proto/checkpoint.pb-c.h"
#include "proto/status.h"

/** Room to work in for frames of up to a number of elements, reused from frame to frame. */
typedef struct rn_ckpt_desk {
  unsigned char *shuffled; /* a frame's raw bytes */
  unsigned char *stored;   /* the most that they can take */
} rn_ckpt_desk;

rn_status rn_ckpt_desk_create(rn_err *err, int64_t elements, rn_ckpt_desk *out);
void rn_ckpt_desk_destroy(rn_ckpt_desk *desk);

/** Packs `count` floats into desk->stored, and tells how. */
rn_status rn_ckpt_frame_pack(rn_err *err, rn_ckpt_desk *desk, const float *data, int64_t count,
                             int level, Retnet__Encoding *encoding, size_t *stored_bytes);

/** Reads the frame at a place: exactly `count` floats. Errors: RN_ERR_FORMAT naming the file. */
rn_status rn_ckpt_frame_read(rn_err *err, rn_ckpt_desk *desk, const rn_file *file,
                             const Retnet__Slice *slice, float *out /* [slice->count] */);

#endif
