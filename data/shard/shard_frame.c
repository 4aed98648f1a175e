#include "data/shard/shard_frame.h"

#include <string.h>
#include <xxhash.h>

#include "data/file/little_endian.h"

static const char postscript_mark[8] = "RTDPOST1";

void rn_frame_seal(unsigned char *frame, size_t bytes) {
  rn_put_u32(frame, RN_FRAME_MAGIC);
  rn_put_u32(frame + 4, (uint32_t)(bytes - RN_FRAME_HEAD_BYTES));
  rn_put_u64(frame + bytes - RN_SHARD_SUM_BYTES, XXH3_64bits(frame, bytes - RN_SHARD_SUM_BYTES));
}

int rn_frame_is_valid(const unsigned char *frame, size_t bytes) {
  return bytes >= RN_FRAME_HEAD_BYTES + RN_SHARD_SUM_BYTES && rn_get_u32(frame) == RN_FRAME_MAGIC &&
         rn_get_u32(frame + 4) == bytes - RN_FRAME_HEAD_BYTES &&
         rn_get_u64(frame + bytes - RN_SHARD_SUM_BYTES) ==
             XXH3_64bits(frame, bytes - RN_SHARD_SUM_BYTES);
}

void rn_postscript_write(rn_postscript p, unsigned char frame[RN_SHARD_POSTSCRIPT_BYTES]) {
  memset(frame, 0, RN_SHARD_POSTSCRIPT_BYTES);
  memcpy(frame + RN_FRAME_HEAD_BYTES, postscript_mark, sizeof postscript_mark);
  rn_put_u64(frame + 16, p.footer_offset);
  rn_put_u64(frame + 24, p.footer_bytes);
  rn_put_u64(frame + 32, p.footer_sum);
  rn_frame_seal(frame, RN_SHARD_POSTSCRIPT_BYTES);
}

int rn_postscript_read(const unsigned char frame[RN_SHARD_POSTSCRIPT_BYTES], rn_postscript *out) {
  if (!rn_frame_is_valid(frame, RN_SHARD_POSTSCRIPT_BYTES) ||
      memcmp(frame + RN_FRAME_HEAD_BYTES, postscript_mark, sizeof postscript_mark) != 0) {
    return 0;
  }
  *out = (rn_postscript){rn_get_u64(frame + 16), rn_get_u64(frame + 24), rn_get_u64(frame + 32)};
  return 1;
}
