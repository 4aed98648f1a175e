/* Fuzzes the reader of shards. The input consists of the number of bytes of the footer's message
 * (u16), this message, and the content of the only block. The header of the shard is copied from
 * the footer. The checksums are corrected; a stored size of 0 bytes in the footer is replaced by
 * the size of the block. What can be recovered from an accepted or refused shard must be a valid
 * shard. */
#include <stdlib.h>
#include <string.h>

#include "data/file/blob.h"
#include "data/file/little_endian.h"
#include "data/shard/shard.h"
#include "data/shard/shard_frame.h"
#include "tests/fuzz/target.h"

enum {
  HEAD = RN_FRAME_HEAD_BYTES,
  TAIL_BYTES = RN_SHARD_POSTSCRIPTS * RN_SHARD_POSTSCRIPT_BYTES,
  MAX_BLOCKS = 4
};

/* Writes the first frame of the shard, which contains `header`, a copy from the footer. If `header`
 * is NULL or too long, the frame is empty. */
static void put_header(const Retnet__ShardHeader *header, unsigned char *frame) {
  memset(frame, 0, RN_SHARD_HEADER_BYTES);
  memcpy(frame + HEAD, "RTDHEAD1", 8);
  const size_t packed = header != NULL ? retnet__shard_header__get_packed_size(header) : 0;
  if (packed > 0 && packed <= RN_SHARD_HEADER_BYTES - 32) {
    rn_put_u32(frame + 16, (uint32_t)packed);
    retnet__shard_header__pack(header, frame + 20);
  }
  rn_frame_seal(frame, RN_SHARD_HEADER_BYTES);
}

/* Replaces stored sizes of 0 bytes by the size of the block, and sets the checksums of all extents
 * that are inside the block. */
static void correct_extents(Retnet__ShardFooter *footer, target_bytes block) {
  for (size_t i = 0; i < footer->n_block; i++) {
    Retnet__BlockExtent *b = footer->block[i];
    const uint64_t at = b->offset - RN_SHARD_HEADER_BYTES;
    if (b->stored_bytes == 0) b->stored_bytes = block.count;
    if (at > block.count || b->stored_bytes > block.count - at) continue;
    b->has_sum = b->has_stored_bytes = true;
    b->sum = rn_blob_sum(block.data + at, (size_t)b->stored_bytes);
  }
}

/* Writes the footer as a frame, and the postscripts; returns the number of bytes. */
static size_t put_end(target_bytes footer, uint64_t offset, unsigned char *at) {
  const size_t count = HEAD + footer.count + RN_SHARD_SUM_BYTES;
  memcpy(at + HEAD, footer.data, footer.count);
  rn_frame_seal(at, count);
  const rn_postscript p = {offset, count, rn_blob_sum(at, count)};
  for (int i = 0; i < RN_SHARD_POSTSCRIPTS; i++) {
    rn_postscript_write(p, at + count + i * RN_SHARD_POSTSCRIPT_BYTES);
  }
  return count + TAIL_BYTES;
}

static void make_shard(const char *path, target_bytes message, target_bytes block) {
  Retnet__ShardFooter *footer = retnet__shard_footer__unpack(NULL, message.count, message.data);
  target_bytes packed = target_copy(message);
  if (footer != NULL) {
    correct_extents(footer, block);
    free(packed.data);
    packed.count = retnet__shard_footer__get_packed_size(footer);
    packed.data = target_memory(packed.count);
    retnet__shard_footer__pack(footer, packed.data);
  }
  unsigned char *file = target_memory(RN_SHARD_HEADER_BYTES + block.count + HEAD + packed.count +
                                      RN_SHARD_SUM_BYTES + TAIL_BYTES);
  size_t count = RN_SHARD_HEADER_BYTES;
  put_header(footer != NULL ? footer->header : NULL, file);
  memcpy(file + count, block.data, block.count);
  count += block.count;
  count += put_end(packed, count, file + count);
  target_write(path, file, count);
  if (footer != NULL) retnet__shard_footer__free_unpacked(footer, NULL);
  free(packed.data);
  free(file);
}

static void read_blocks(const char *path) {
  rn_err err = {0};
  rn_shard shard;
  if (!target_is_ok(rn_shard_open(&err, path, &shard), &err)) return;
  int32_t *tokens = target_memory(shard.footer->header->block_tokens * sizeof *tokens);
  for (size_t b = 0; b < shard.footer->n_block && b < MAX_BLOCKS; b++) {
    rn_err_clear(&err);
    target_is_ok(rn_shard_read_block(&err, &shard, (int64_t)b, tokens), &err);
  }
  free(tokens);
  rn_shard_close(&shard);
}

static void recover(const char *path) {
  rn_err err = {0};
  rn_shard_recovery recovery;
  if (!target_is_ok(rn_shard_recover(&err, path, &recovery), &err)) return;
  target_require(rn_shard_verify(&err, target_path("fuzzed.rtd.recovered")) == RN_OK,
                 "a recovered shard is valid");
}

bool target_run(const uint8_t *data, size_t bytes) {
  rn_err err = {0};
  target_bytes message, rest;
  if (!target_split(data, bytes, &message, &rest)) return false;
  const char *path = target_path("fuzzed.rtd");
  target_bytes block = target_pack(rest);
  make_shard(path, message, block);
  free(block.data);
  read_blocks(path);
  recover(path);
  return target_is_ok(rn_shard_verify(&err, path), &err);
}
