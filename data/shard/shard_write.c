/* Writes a shard: each block as soon as it is full, then the footer and the postscripts; finally
 * renames the file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/file/blob.h"
#include "data/file/little_endian.h"
#include "data/shard/shard.h"
#include "data/shard/shard_frame.h"
#include "proto/base/arena.h"

enum { LEVEL = 9, MAX_BLOCKS = 1 << 24 };

struct rn_shard_writer {
  rn_file file;
  rn_path path, temporary;
  rn_shard_kind kind;
  int width;
  int64_t offset;
  int32_t *pending; /* [RN_SHARD_BLOCK_TOKENS] */
  int64_t pending_count, pending_text;
  Retnet__ShardHeader header;
  Retnet__ShardFooter footer;
  Retnet__BlockExtent *extent;
  int64_t extent_capacity;
};

static rn_status write_header(rn_err *err, rn_shard_writer *w) {
  unsigned char frame[RN_SHARD_HEADER_BYTES] = {0};
  const size_t packed = retnet__shard_header__get_packed_size(&w->header);
  if (packed > RN_SHARD_HEADER_BYTES - 32) {
    return rn_fail(err, RN_ERR_USAGE, "%s: the tokenizer's name is too long", w->path.text);
  }
  memcpy(frame + RN_FRAME_HEAD_BYTES, "RTDHEAD1", 8);
  rn_put_u32(frame + 16, (uint32_t)packed);
  retnet__shard_header__pack(&w->header, frame + 20);
  rn_frame_seal(frame, sizeof frame);
  w->offset = sizeof frame;
  return rn_file_write(err, &w->file, 0, frame, sizeof frame);
}

rn_status rn_shard_writer_create(rn_err *err, const char *path, rn_shard_kind kind,
                                 rn_shard_writer **out) {
  rn_shard_writer *w;
  *out = NULL;
  if (kind.vocabulary > RN_SHARD_MAX_VOCABULARY) {
    return rn_fail(err, RN_ERR_USAGE,
                   "a vocabulary of %d tokens, including the document token, is above the limit of "
                   "%d",
                   kind.vocabulary, RN_SHARD_MAX_VOCABULARY);
  }
  RN_TRY(err, rn_alloc(err, "shard writer", 1, sizeof *w, &w));
  w->kind = kind;
  w->width = kind.vocabulary <= 256 ? 1 : kind.vocabulary <= 65536 ? 2 : 4;
  snprintf(w->path.text, sizeof w->path.text, "%s", path);
  snprintf(w->temporary.text, sizeof w->temporary.text, "%.*s.tmp", RN_PATH_BYTES - 5, path);
  retnet__shard_header__init(&w->header);
  w->header.has_version = w->header.has_tokenizer_hash = w->header.has_vocabulary = 1;
  w->header.has_document_token = w->header.has_block_tokens = 1;
  w->header.version = 1;
  w->header.tokenizer = (char *)kind.tokenizer;
  w->header.tokenizer_hash = kind.tokenizer_hash;
  w->header.vocabulary = (uint32_t)kind.vocabulary;
  w->header.document_token = (uint32_t)kind.document_token;
  w->header.block_tokens = RN_SHARD_BLOCK_TOKENS;
  retnet__shard_footer__init(&w->footer);
  w->footer.header = &w->header;
  w->footer.has_tokens = w->footer.has_documents = w->footer.has_text_bytes = w->footer.has_id = 1;
  rn_status status = rn_alloc(err, "block", RN_SHARD_BLOCK_TOKENS, sizeof(int32_t), &w->pending);
  if (status == RN_OK) status = rn_file_create(err, w->temporary.text, &w->file);
  if (status == RN_OK) status = write_header(err, w);
  if (status != RN_OK) {
    rn_shard_abandon(&w);
    return status;
  }
  *out = w;
  return RN_OK;
}

/* Packs the pending tokens as one field of a Shard message: tag, length, Block. */
static rn_status pack_block(rn_err *err, const rn_shard_writer *w, unsigned char **raw,
                            size_t *raw_bytes, uint64_t *documents) {
  const size_t count = (size_t)w->pending_count, width = (size_t)w->width;
  unsigned char *bytes = malloc(count * width);
  uint32_t *starts = malloc(count * sizeof *starts);
  Retnet__Block block = RETNET__BLOCK__INIT;
  Retnet__Shard shard = RETNET__SHARD__INIT;
  Retnet__Block *only = &block;
  rn_status status = RN_OK;
  if (bytes == NULL || starts == NULL) {
    status = rn_fail(err, RN_ERR_MEMORY, "out of memory while writing %s", w->path.text);
    goto done;
  }
  for (size_t i = 0; i < count; i++) {
    rn_put_bytes(bytes + i * width, (uint32_t)w->pending[i], w->width);
    if (w->pending[i] == w->kind.document_token) starts[block.n_document_start++] = (uint32_t)i;
  }
  block.has_tokens = block.has_width = block.has_text_bytes = 1;
  block.tokens = (ProtobufCBinaryData){count * width, bytes};
  block.width = (uint32_t)width;
  block.document_start = starts;
  block.text_bytes = (uint64_t)w->pending_text;
  shard.n_block = 1;
  shard.block = &only;
  *raw_bytes = retnet__shard__get_packed_size(&shard);
  *documents = block.n_document_start;
  *raw = malloc(*raw_bytes);
  if (*raw == NULL) {
    status = rn_fail(err, RN_ERR_MEMORY, "out of memory while writing %s", w->path.text);
  } else {
    retnet__shard__pack(&shard, *raw);
  }
done:
  free(bytes);
  free(starts);
  return status;
}

static rn_status reserve_extent(rn_err *err, rn_shard_writer *w) {
  if ((int64_t)w->footer.n_block < w->extent_capacity) return RN_OK;
  const int64_t capacity = w->extent_capacity > 0 ? 2 * w->extent_capacity : 64;
  Retnet__BlockExtent *grown = realloc(w->extent, (size_t)capacity * sizeof *grown);
  if (capacity > MAX_BLOCKS || grown == NULL) {
    return rn_fail(err, RN_ERR_MEMORY, "%s: too many blocks", w->path.text);
  }
  w->extent = grown;
  w->extent_capacity = capacity;
  return RN_OK;
}

static rn_status flush_block(rn_err *err, rn_shard_writer *w) {
  unsigned char *raw = NULL;
  size_t raw_bytes = 0;
  uint64_t documents = 0;
  rn_blob_extent where = {0};
  RN_TRY(err, reserve_extent(err, w));
  RN_TRY(err, pack_block(err, w, &raw, &raw_bytes, &documents));
  rn_status status =
      rn_blob_write(err, &w->file, w->offset, (rn_bytes){raw, raw_bytes}, LEVEL, &where);
  free(raw);
  if (status != RN_OK) return status;
  Retnet__BlockExtent *extent = &w->extent[w->footer.n_block++];
  retnet__block_extent__init(extent);
  extent->has_offset = extent->has_stored_bytes = extent->has_raw_bytes = extent->has_sum = 1;
  extent->has_first_token = extent->has_tokens = extent->has_first_document = 1;
  extent->has_text_bytes = 1;
  extent->offset = (uint64_t)w->offset;
  extent->stored_bytes = (uint64_t)where.stored_bytes;
  extent->raw_bytes = raw_bytes;
  extent->sum = where.sum;
  extent->first_token = w->footer.tokens;
  extent->tokens = (uint64_t)w->pending_count;
  extent->first_document = w->footer.documents;
  extent->text_bytes = (uint64_t)w->pending_text;
  w->footer.tokens += (uint64_t)w->pending_count;
  w->footer.documents += documents;
  w->footer.text_bytes += (uint64_t)w->pending_text;
  w->offset += where.stored_bytes;
  w->pending_count = 0;
  w->pending_text = 0;
  return RN_OK;
}

rn_status rn_shard_append(rn_err *err, rn_shard_writer *w, const int32_t *tokens, int64_t count,
                          int64_t text_bytes) {
  int64_t text_left = text_bytes;
  for (int64_t at = 0; at < count;) {
    int64_t capacity = RN_SHARD_BLOCK_TOKENS - w->pending_count;
    int64_t piece = count - at < capacity ? count - at : capacity;
    memcpy(w->pending + w->pending_count, tokens + at, (size_t)piece * sizeof *tokens);
    w->pending_count += piece;
    at += piece;
    const int64_t text = at == count ? text_left : text_bytes * piece / count;
    w->pending_text += text;
    text_left -= text;
    if (w->pending_count == RN_SHARD_BLOCK_TOKENS) RN_TRY(err, flush_block(err, w));
  }
  return RN_OK;
}

static rn_status write_tail(rn_err *err, rn_shard_writer *w) {
  Retnet__BlockExtent **extents = calloc(w->footer.n_block + 1, sizeof *extents);
  XXH3_state_t *hash = XXH3_createState();
  rn_status status = RN_OK;
  unsigned char *frame = NULL;
  if (extents == NULL || hash == NULL) {
    status = rn_fail(err, RN_ERR_MEMORY, "out of memory while writing %s", w->path.text);
    goto done;
  }
  XXH3_64bits_reset(hash);
  for (size_t i = 0; i < w->footer.n_block; i++) {
    unsigned char sum[8];
    extents[i] = &w->extent[i];
    rn_put_u64(sum, w->extent[i].sum);
    XXH3_64bits_update(hash, sum, sizeof sum);
  }
  w->footer.block = extents;
  w->footer.id = XXH3_64bits_digest(hash);
  const size_t packed = retnet__shard_footer__get_packed_size(&w->footer);
  const size_t bytes = packed + RN_FRAME_HEAD_BYTES + RN_SHARD_SUM_BYTES;
  frame = malloc(bytes);
  if (frame == NULL) {
    status = rn_fail(err, RN_ERR_MEMORY, "out of memory while writing %s", w->path.text);
    goto done;
  }
  retnet__shard_footer__pack(&w->footer, frame + RN_FRAME_HEAD_BYTES);
  rn_frame_seal(frame, bytes);
  const rn_postscript p = {(uint64_t)w->offset, bytes, XXH3_64bits(frame, bytes)};
  unsigned char tail[RN_SHARD_POSTSCRIPTS * RN_SHARD_POSTSCRIPT_BYTES];
  for (int i = 0; i < RN_SHARD_POSTSCRIPTS; i++) {
    rn_postscript_write(p, tail + i * RN_SHARD_POSTSCRIPT_BYTES);
  }
  status = rn_file_write(err, &w->file, w->offset, frame, bytes);
  if (status == RN_OK) {
    status = rn_file_write(err, &w->file, w->offset + (int64_t)bytes, tail, sizeof tail);
  }
done:
  free(extents);
  free(frame);
  XXH3_freeState(hash);
  return status;
}

rn_status rn_shard_finish(rn_err *err, rn_shard_writer **writer) {
  rn_shard_writer *w = *writer;
  rn_status status = w->pending_count > 0 ? flush_block(err, w) : RN_OK;
  if (status == RN_OK) status = write_tail(err, w);
  if (status == RN_OK) status = rn_file_publish(err, &w->file, w->path.text);
  rn_shard_abandon(writer);
  return status;
}

void rn_shard_abandon(rn_shard_writer **writer) {
  rn_shard_writer *w = *writer;
  if (w == NULL) return;
  if (w->file.path != NULL) {
    rn_err ignored = {0};
    rn_file_destroy(&w->file);
    (void)rn_file_remove_tree(&ignored, w->temporary.text);
  }
  free(w->pending);
  free(w->extent);
  free(w);
  *writer = NULL;
}
