/* Writes a shard: collects several blocks for each thread, then compresses them in parallel and
 * writes them; at the end writes the footer and the postscripts, and renames the file. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/file/blob.h"
#include "data/file/little_endian.h"
#include "data/shard/shard.h"
#include "data/shard/shard_block.h"
#include "data/shard/shard_frame.h"
#include "proto/base/arena.h"
#include "proto/base/range.h"

enum { MAX_BLOCKS = 1 << 24, MAX_PENDING_BLOCKS = 64, BLOCKS_PER_THREAD = 4 };

struct rn_shard_writer {
  rn_file file;
  rn_path path, temporary;
  rn_shard_kind kind;
  int width;
  int64_t offset;
  int64_t blocks;   /* number of blocks that are packed at once */
  int32_t *pending; /* [blocks, RN_SHARD_BLOCK_TOKENS] */
  int64_t pending_count, pending_text[MAX_PENDING_BLOCKS];
  Retnet__ShardHeader header;
  Retnet__ShardFooter footer;
  Retnet__BlockExtent *extent;
  size_t extent_capacity;
};

static rn_status write_header(rn_err *err, rn_shard_writer *w) {
  static const char magic[] = "RTDHEAD1";
  unsigned char frame[RN_SHARD_HEADER_BYTES] = {0};
  const size_t packed = retnet__shard_header__get_packed_size(&w->header);
  if (packed > RN_SHARD_HEADER_BYTES - 32) {
    return rn_fail(err, RN_ERR_USAGE, "%s: the tokenizer's name is too long", w->path.text);
  }
  memcpy(frame + RN_FRAME_HEAD_BYTES, magic, sizeof magic - 1);
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
  w->blocks = rn_smaller(BLOCKS_PER_THREAD * omp_get_max_threads(), MAX_PENDING_BLOCKS);
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
  rn_status status = rn_alloc(err, "blocks", (size_t)w->blocks * RN_SHARD_BLOCK_TOKENS,
                              sizeof(int32_t), &w->pending);
  if (status == RN_OK) status = rn_file_create(err, w->temporary.text, &w->file);
  if (status == RN_OK) status = write_header(err, w);
  if (status != RN_OK) {
    rn_shard_abandon(&w);
    return status;
  }
  *out = w;
  return RN_OK;
}

static rn_status reserve_extent(rn_err *err, rn_shard_writer *w) {
  if (w->footer.n_block == MAX_BLOCKS) {
    return rn_fail(err, RN_ERR_USAGE, "%s: a shard cannot have more than %d blocks", w->path.text,
                   MAX_BLOCKS);
  }
  return rn_grow(err, "blocks", w->footer.n_block + 1, sizeof *w->extent, &w->extent,
                 &w->extent_capacity);
}

static rn_status write_block(rn_err *err, rn_shard_writer *w, const rn_block_tokens *tokens,
                             const rn_block_packed *packed) {
  RN_TRY(err, reserve_extent(err, w));
  RN_TRY(err, rn_file_write(err, &w->file, w->offset, packed->stored, packed->stored_bytes));
  Retnet__BlockExtent *extent = &w->extent[w->footer.n_block++];
  retnet__block_extent__init(extent);
  extent->has_offset = extent->has_stored_bytes = extent->has_raw_bytes = extent->has_sum = 1;
  extent->has_first_token = extent->has_tokens = extent->has_first_document = 1;
  extent->has_text_bytes = 1;
  extent->offset = (uint64_t)w->offset;
  extent->stored_bytes = packed->stored_bytes;
  extent->raw_bytes = packed->raw_bytes;
  extent->sum = rn_blob_sum(packed->stored, packed->stored_bytes);
  extent->first_token = w->footer.tokens;
  extent->tokens = (uint64_t)tokens->count;
  extent->first_document = w->footer.documents;
  extent->text_bytes = (uint64_t)tokens->text_bytes;
  w->footer.tokens += (uint64_t)tokens->count;
  w->footer.documents += packed->documents;
  w->footer.text_bytes += (uint64_t)tokens->text_bytes;
  w->offset += (int64_t)packed->stored_bytes;
  return RN_OK;
}

/* Packs the pending blocks and writes them in order. */
static rn_status flush_blocks(rn_err *err, rn_shard_writer *w) {
  const int blocks = (int)((w->pending_count + RN_SHARD_BLOCK_TOKENS - 1) / RN_SHARD_BLOCK_TOKENS);
  const rn_block_format format = {w->path.text, w->width, w->kind.document_token};
  rn_block_tokens tokens[MAX_PENDING_BLOCKS] = {{0}};
  rn_block_packed packed[MAX_PENDING_BLOCKS] = {{0}};
  for (int i = 0; i < blocks; i++) {
    const int64_t first = (int64_t)i * RN_SHARD_BLOCK_TOKENS;
    tokens[i] = (rn_block_tokens){w->pending + first,
                                  rn_smaller(w->pending_count - first, RN_SHARD_BLOCK_TOKENS),
                                  w->pending_text[i]};
  }
  rn_status status = rn_blocks_pack(err, format, tokens, blocks, packed);
  for (int i = 0; status == RN_OK && i < blocks; i++) {
    status = write_block(err, w, &tokens[i], &packed[i]);
  }
  for (int i = 0; i < blocks; i++) free(packed[i].stored);
  w->pending_count = 0;
  memset(w->pending_text, 0, sizeof w->pending_text);
  return status;
}

rn_status rn_shard_append(rn_err *err, rn_shard_writer *w, const int32_t *tokens, int64_t count,
                          int64_t text_bytes) {
  int64_t text_left = text_bytes;
  for (int64_t at = 0; at < count;) {
    const int64_t block = w->pending_count / RN_SHARD_BLOCK_TOKENS;
    const int64_t capacity = RN_SHARD_BLOCK_TOKENS - w->pending_count % RN_SHARD_BLOCK_TOKENS;
    const int64_t piece = rn_smaller(count - at, capacity);
    memcpy(w->pending + w->pending_count, tokens + at, (size_t)piece * sizeof *tokens);
    w->pending_count += piece;
    at += piece;
    const int64_t text = at == count ? text_left : text_bytes * piece / count;
    w->pending_text[block] += text;
    text_left -= text;
    if (w->pending_count == w->blocks * RN_SHARD_BLOCK_TOKENS) RN_TRY(err, flush_blocks(err, w));
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
  rn_status status = w->pending_count > 0 ? flush_blocks(err, w) : RN_OK;
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
