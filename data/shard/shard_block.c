#include "data/shard/shard_block.h"

#include <stdlib.h>

#include "data/file/blob.h"
#include "data/file/little_endian.h"

enum { LEVEL = 9 };

static rn_status out_of_memory(rn_err *err, const char *path) {
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing %s", path);
}

/* Compresses a Shard message with one Block. */
static rn_status compress(rn_err *err, const char *path, Retnet__Block *block,
                          rn_block_packed *out) {
  Retnet__Shard shard = RETNET__SHARD__INIT;
  shard.n_block = 1;
  shard.block = &block;
  out->documents = block->n_document_start;
  out->raw_bytes = retnet__shard__get_packed_size(&shard);
  unsigned char *raw = malloc(out->raw_bytes);
  out->stored = malloc(rn_blob_bound(out->raw_bytes));
  rn_status status = RN_OK;
  if (raw == NULL || out->stored == NULL) {
    status = out_of_memory(err, path);
  } else {
    retnet__shard__pack(&shard, raw);
    status = rn_blob_pack(err, raw, out->raw_bytes, LEVEL, out->stored, &out->stored_bytes);
  }
  free(raw);
  return status;
}

/* Packs the tokens as one field of a Shard message: tag, length, Block. */
static rn_status pack(rn_err *err, rn_block_format format, const rn_block_tokens *tokens,
                      rn_block_packed *out) {
  const size_t count = (size_t)tokens->count, width = (size_t)format.width;
  unsigned char *bytes = malloc(count * width);
  uint32_t *starts = malloc(count * sizeof *starts);
  Retnet__Block block = RETNET__BLOCK__INIT;
  rn_status status = RN_OK;
  if (bytes == NULL || starts == NULL) {
    status = out_of_memory(err, format.path);
    goto done;
  }
  for (size_t i = 0; i < count; i++) {
    rn_put_bytes(bytes + i * width, (uint32_t)tokens->id[i], format.width);
    if (tokens->id[i] == format.document_token) starts[block.n_document_start++] = (uint32_t)i;
  }
  block.has_tokens = block.has_width = block.has_text_bytes = 1;
  block.tokens = (ProtobufCBinaryData){count * width, bytes};
  block.width = (uint32_t)width;
  block.document_start = starts;
  block.text_bytes = (uint64_t)tokens->text_bytes;
  status = compress(err, format.path, &block, out);
done:
  free(bytes);
  free(starts);
  return status;
}

rn_status rn_blocks_pack(rn_err *err, rn_block_format format, const rn_block_tokens *block,
                         int count, rn_block_packed *packed) {
  rn_status status = RN_OK;
  int failed = count;
#pragma omp parallel for schedule(dynamic, 1)
  for (int i = 0; i < count; i++) {
    rn_err own = {0};
    const rn_status one = pack(&own, format, &block[i], &packed[i]);
    if (one == RN_OK) continue;
#pragma omp critical(rn_blocks_pack_error)
    if (i < failed) {
      failed = i;
      status = one;
      *err = own;
    }
  }
  return status;
}
