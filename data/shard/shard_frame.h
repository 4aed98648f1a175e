/** Private to data/shard: skippable frames, which hold the header, the footer and the
 * postscripts. */
#ifndef RN_DATA_SHARD_SHARD_FRAME_H
#define RN_DATA_SHARD_SHARD_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum {
  RN_FRAME_MAGIC = 0x184D2A5D,
  RN_FRAME_HEAD_BYTES = 8,
  RN_SHARD_HEADER_BYTES = 1024,
  RN_SHARD_POSTSCRIPT_BYTES = 64,
  RN_SHARD_POSTSCRIPTS = 3,
  RN_SHARD_SUM_BYTES = 8
};

typedef struct rn_postscript {
  uint64_t footer_offset, footer_bytes, footer_sum;
} rn_postscript;

/** Completes a frame of `bytes` bytes: writes the magic and the length at its start, and the
 * checksum at its end. */
void rn_frame_seal(unsigned char *frame, size_t bytes);
/** Returns 1 if magic, length and checksum are correct, else 0. */
int rn_frame_is_valid(const unsigned char *frame, size_t bytes);

/** Write a postscript as a frame, and read one. rn_postscript_read returns 1 if the frame is valid,
 * else 0. */
void rn_postscript_write(rn_postscript p, unsigned char frame[RN_SHARD_POSTSCRIPT_BYTES]);
int rn_postscript_read(const unsigned char frame[RN_SHARD_POSTSCRIPT_BYTES], rn_postscript *out);

#endif
