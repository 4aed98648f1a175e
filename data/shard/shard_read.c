/* Reads shards; verifies the checksum of any content before using it. */
#define ZSTD_STATIC_LINKING_ONLY /* magic numbers of skippable frames */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "data/file/blob.h"
#include "data/file/little_endian.h"
#include "data/file/message.h"
#include "data/shard/shard.h"
#include "data/shard/shard_frame.h"
#include "proto/base/arena.h"

enum { TAIL_BYTES = RN_SHARD_POSTSCRIPTS * RN_SHARD_POSTSCRIPT_BYTES, MAX_FOOTER_BYTES = 1 << 30 };

#define RECOVER_ADVICE \
  "recover its undamaged blocks with `retnet-data recover %s`, or build the data again"

static rn_status damaged(rn_err *err, const char *path, const char *what) {
  return rn_fail(err, RN_ERR_FORMAT, "%s: %s; " RECOVER_ADVICE, path, what, path);
}

/* Sets *out to the first valid one of the three postscripts, and *good to the number of valid ones.
 */
static rn_status read_postscripts(rn_err *err, const rn_file *file, rn_postscript *out, int *good) {
  unsigned char tail[TAIL_BYTES];
  *good = 0;
  if (file->size_bytes < RN_SHARD_HEADER_BYTES + TAIL_BYTES) {
    return damaged(err, file->path, "it is too short for a shard");
  }
  RN_TRY(err, rn_file_read(err, file, file->size_bytes - TAIL_BYTES, tail, sizeof tail));
  for (int i = 0; i < RN_SHARD_POSTSCRIPTS; i++) {
    rn_postscript one;
    if (!rn_postscript_read(tail + i * RN_SHARD_POSTSCRIPT_BYTES, &one)) continue;
    if (*good == 0) *out = one;
    (*good)++;
  }
  return *good > 0 ? RN_OK
                   : damaged(err, file->path, "it has no valid postscript: is the file truncated?");
}

static rn_status read_footer(rn_err *err, const rn_file *file, rn_postscript p,
                             Retnet__ShardFooter **out) {
  const uint64_t end = (uint64_t)file->size_bytes - TAIL_BYTES;
  if (p.footer_bytes > MAX_FOOTER_BYTES || p.footer_offset > end ||
      p.footer_offset + p.footer_bytes != end || p.footer_offset < RN_SHARD_HEADER_BYTES) {
    return damaged(err, file->path, "its postscript points outside the file");
  }
  unsigned char *frame = malloc((size_t)p.footer_bytes + 1);
  if (frame == NULL)
    return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory while reading it", file->path);
  rn_status status =
      rn_file_read(err, file, (int64_t)p.footer_offset, frame, (size_t)p.footer_bytes);
  if (status == RN_OK && (!rn_frame_is_valid(frame, (size_t)p.footer_bytes) ||
                          XXH3_64bits(frame, (size_t)p.footer_bytes) != p.footer_sum)) {
    status = damaged(err, file->path, "its footer is damaged");
  }
  if (status == RN_OK) {
    const rn_bytes packed = {frame + RN_FRAME_HEAD_BYTES,
                             (size_t)p.footer_bytes - RN_FRAME_HEAD_BYTES - RN_SHARD_SUM_BYTES};
    status = rn_message_unpack(err, file->path, "its footer cannot be parsed",
                               &retnet__shard_footer__descriptor, packed, out);
  }
  free(frame);
  return status;
}

static bool header_is_valid(const Retnet__ShardHeader *h) {
  return h->block_tokens > 0 && h->block_tokens <= RN_SHARD_MAX_BLOCK_BYTES / 8 &&
         h->vocabulary > 0 && h->vocabulary <= RN_SHARD_MAX_VOCABULARY &&
         h->document_token < h->vocabulary;
}

/* Checks that blocks fill the space between header and footer, and that only the last is
 * partial. */
static rn_status check_extents(rn_err *err, const char *path, const Retnet__ShardFooter *footer,
                               uint64_t footer_offset) {
  uint64_t offset = RN_SHARD_HEADER_BYTES, tokens = 0;
  const Retnet__ShardHeader *h = footer->header;
  if (h == NULL || h->tokenizer == NULL || h->version != 1) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: the shard has a format that this version cannot read; use a newer retnet",
                   path);
  }
  if (!header_is_valid(h)) return damaged(err, path, "its header is invalid");
  for (size_t i = 0; i < footer->n_block; i++) {
    const Retnet__BlockExtent *b = footer->block[i];
    const bool full = b->tokens == h->block_tokens;
    if (b->offset != offset || b->stored_bytes > footer_offset - offset ||
        b->raw_bytes > RN_SHARD_MAX_BLOCK_BYTES || b->first_token != tokens ||
        !(full || (i + 1 == footer->n_block && b->tokens > 0 && b->tokens < h->block_tokens))) {
      return damaged(err, path, "its footer does not match its blocks");
    }
    offset += b->stored_bytes;
    tokens += b->tokens;
  }
  if (offset != footer_offset || tokens != footer->tokens) {
    return damaged(err, path, "its footer does not match its blocks");
  }
  return RN_OK;
}

static rn_status read_header(rn_err *err, const rn_file *file, Retnet__ShardHeader **out) {
  unsigned char frame[RN_SHARD_HEADER_BYTES];
  if (file->size_bytes < RN_SHARD_HEADER_BYTES) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: the file is too short for a shard", file->path);
  }
  RN_TRY(err, rn_file_read(err, file, 0, frame, sizeof frame));
  const uint32_t packed = rn_get_u32(frame + 16);
  if (!rn_frame_is_valid(frame, sizeof frame) ||
      memcmp(frame + RN_FRAME_HEAD_BYTES, "RTDHEAD1", 8) != 0 ||
      packed > RN_SHARD_HEADER_BYTES - 32) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: not a shard, or its header is damaged", file->path);
  }
  return rn_message_unpack(err, file->path, "its header cannot be parsed",
                           &retnet__shard_header__descriptor, (rn_bytes){frame + 20, packed}, out);
}

rn_status rn_shard_open(rn_err *err, const char *path, rn_shard *out) {
  rn_postscript p = {0};
  Retnet__ShardHeader *header = NULL;
  int good = 0;
  *out = (rn_shard){0};
  RN_TRY(err, rn_file_open(err, path, &out->file));
  rn_status status;
  if ((status = read_header(err, &out->file, &header)) != RN_OK ||
      (status = read_postscripts(err, &out->file, &p, &good)) != RN_OK ||
      (status = read_footer(err, &out->file, p, &out->footer)) != RN_OK ||
      (status = check_extents(err, path, out->footer, p.footer_offset)) != RN_OK) {
    rn_shard_close(out);
  }
  retnet__shard_header__free_unpacked(header, NULL);
  return status;
}

void rn_shard_close(rn_shard *shard) {
  if (shard->footer != NULL) retnet__shard_footer__free_unpacked(shard->footer, NULL);
  rn_file_destroy(&shard->file);
  *shard = (rn_shard){0};
}

/* Parameters for decoding a block, and the destination of its tokens. */
typedef struct block_decoder {
  const char *path; /* for messages */
  const Retnet__ShardHeader *header;
  int32_t *tokens; /* [block_tokens] */
} block_decoder;

/* Number of tokens in a block, and number of bytes of text that these tokens encode. */
typedef struct block_counts {
  uint64_t tokens, text_bytes;
} block_counts;

/* Unpacks one block; checks its width and ids, and that it has `want` tokens (0: any number). */
static rn_status unpack_block(rn_err *err, const block_decoder *d, rn_bytes raw, uint64_t want,
                              block_counts *found) {
  Retnet__Shard *shard;
  RN_TRY(err, rn_message_unpack(err, d->path, "the block cannot be parsed",
                                &retnet__shard__descriptor, raw, &shard));
  const Retnet__Block *b = shard->n_block == 1 ? shard->block[0] : NULL;
  rn_status status = RN_OK;
  if (b == NULL || (b->width != 1 && b->width != 2 && b->width != 4) ||
      b->tokens.len % b->width != 0 || b->tokens.len / b->width > d->header->block_tokens ||
      (want != 0 && b->tokens.len / b->width != want)) {
    status = rn_fail(err, RN_ERR_FORMAT, "%s: the block does not match the footer", d->path);
  }
  for (size_t i = 0; status == RN_OK && i < b->tokens.len / b->width; i++) {
    const uint64_t id = rn_get_bytes(b->tokens.data + i * b->width, (int)b->width);
    if (id >= d->header->vocabulary) {
      status = rn_fail(err, RN_ERR_FORMAT, "%s: a token is outside the vocabulary", d->path);
    }
    d->tokens[i] = (int32_t)id;
  }
  if (status == RN_OK) *found = (block_counts){b->tokens.len / b->width, b->text_bytes};
  if (shard != NULL) retnet__shard__free_unpacked(shard, NULL);
  return status;
}

static rn_status read_block(rn_err *err, const rn_shard *shard, int64_t block, int32_t *tokens) {
  const Retnet__BlockExtent *b = shard->footer->block[block];
  const rn_blob_extent extent = {(int64_t)b->offset, (int64_t)b->stored_bytes, b->sum};
  const block_decoder decoder = {shard->file.path, shard->footer->header, tokens};
  void *raw = NULL;
  size_t raw_bytes = 0;
  block_counts ignored;
  RN_TRY(err, rn_blob_read(err, &shard->file, extent, RN_SHARD_MAX_BLOCK_BYTES, &raw, &raw_bytes));
  rn_status status = unpack_block(err, &decoder, (rn_bytes){raw, raw_bytes}, b->tokens, &ignored);
  free(raw);
  return status;
}

rn_status rn_shard_read_block(rn_err *err, const rn_shard *shard, int64_t block, int32_t *tokens) {
  rn_err why = {0};
  const rn_status status = read_block(&why, shard, block, tokens);
  if (status == RN_OK) return RN_OK;
  if (status != RN_ERR_FORMAT) {
    return rn_fail(err, status, "block %lld: %s", (long long)block, why.text);
  }
  return rn_fail(err, status, "block %lld: %s; " RECOVER_ADVICE, (long long)block, why.text,
                 shard->file.path);
}

static bool same_header(const Retnet__ShardHeader *a, const Retnet__ShardHeader *b) {
  return a->version == b->version && strcmp(a->tokenizer, b->tokenizer) == 0 &&
         a->tokenizer_hash == b->tokenizer_hash && a->vocabulary == b->vocabulary &&
         a->document_token == b->document_token && a->block_tokens == b->block_tokens;
}

static rn_status verify_open(rn_err *err, const char *path, const rn_shard *shard) {
  rn_postscript p;
  Retnet__ShardHeader *header = NULL;
  int good = 0;
  RN_TRY(err, read_postscripts(err, &shard->file, &p, &good));
  if (good != RN_SHARD_POSTSCRIPTS) return damaged(err, path, "a postscript is damaged");
  RN_TRY(err, read_header(err, &shard->file, &header));
  const bool same = header->tokenizer != NULL && same_header(header, shard->footer->header);
  retnet__shard_header__free_unpacked(header, NULL);
  if (!same) return damaged(err, path, "header and footer differ");
  int32_t *tokens = malloc(shard->footer->header->block_tokens * sizeof *tokens);
  if (tokens == NULL)
    return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory while verifying it", path);
  rn_status status = RN_OK;
  for (size_t b = 0; status == RN_OK && b < shard->footer->n_block; b++) {
    status = rn_shard_read_block(err, shard, (int64_t)b, tokens);
  }
  free(tokens);
  return status;
}

rn_status rn_shard_verify(rn_err *err, const char *path) {
  rn_shard shard;
  RN_TRY(err, rn_shard_open(err, path, &shard));
  rn_status status = verify_open(err, path, &shard);
  rn_shard_close(&shard);
  return status;
}

/* ---- recovery ---- */

/* State of the recovery of a damaged shard. */
typedef struct recovery {
  const char *path;
  const unsigned char *bytes;
  size_t count;
  const Retnet__ShardHeader *header;
  int32_t *ids; /* [block_tokens] */
  rn_shard_writer *writer;
} recovery;

/* Unpacks the block at offset `at` into ids; sets *stored to its size in the file, or to 0 if it is
 * not intact. Errors: RN_ERR_MEMORY. */
static rn_status whole_block(rn_err *err, const recovery *r, size_t at, block_counts *found,
                             size_t *stored) {
  static const uint64_t max_text_bytes = INT64_MAX / RN_SHARD_BLOCK_TOKENS;
  rn_err why = {0};
  size_t raw_bytes = 0;
  const size_t bytes = ZSTD_findFrameCompressedSize(r->bytes + at, r->count - at);
  *stored = 0;
  if (ZSTD_isError(bytes) || rn_blob_raw_bytes(&why, r->path, r->bytes + at, bytes,
                                               RN_SHARD_MAX_BLOCK_BYTES, &raw_bytes) != RN_OK) {
    return RN_OK;
  }
  void *raw = malloc(raw_bytes + 1);
  if (raw == NULL) return rn_fail(err, RN_ERR_MEMORY, "%s: out of memory", r->path);
  const block_decoder decoder = {r->path, r->header, r->ids};
  rn_status status = rn_blob_unpack(&why, r->path, r->bytes + at, bytes, raw, raw_bytes);
  if (status == RN_OK) status = unpack_block(&why, &decoder, (rn_bytes){raw, raw_bytes}, 0, found);
  free(raw);
  if (status == RN_ERR_MEMORY) return rn_fail(err, status, "%s", why.text);
  if (status == RN_OK && found->text_bytes <= max_text_bytes) *stored = bytes;
  return RN_OK;
}

/* Returns the first offset >= `at` that holds the magic number of a zstd frame, or the size of the
 * file if there is none. */
static size_t next_frame(const recovery *r, size_t at) {
  while (at + 4 <= r->count && rn_get_u32(r->bytes + at) != ZSTD_MAGICNUMBER) at++;
  return at + 4 <= r->count ? at : r->count;
}

static rn_status copy_blocks(rn_err *err, const recovery *r, rn_shard_recovery *out) {
  for (size_t at = RN_SHARD_HEADER_BYTES; at < r->count;) {
    block_counts found = {0, 0};
    size_t stored;
    RN_TRY(err, whole_block(err, r, at, &found, &stored));
    if (stored == 0) {
      const bool footer =
          r->count - at >= 4 &&
          (rn_get_u32(r->bytes + at) & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
      const size_t next = next_frame(r, at + 1);
      if (footer && next == r->count) break;
      out->lost_bytes += (int64_t)(next - at);
      at = next;
      continue;
    }
    RN_TRY(err, rn_shard_append(err, r->writer, r->ids, (int64_t)found.tokens,
                                (int64_t)found.text_bytes));
    out->tokens += (int64_t)found.tokens;
    out->blocks++;
    at += stored;
  }
  return RN_OK;
}

/* Reads the header or, if it is damaged, the copy of the header in the footer. */
static rn_status find_header(rn_err *err, const rn_file *file, Retnet__ShardHeader **out) {
  rn_err ignored = {0};
  rn_postscript p;
  int good = 0;
  Retnet__ShardFooter *footer = NULL;
  rn_status status = read_header(err, file, out);
  if (status != RN_OK && read_postscripts(&ignored, file, &p, &good) == RN_OK &&
      read_footer(&ignored, file, p, &footer) == RN_OK && footer->header != NULL) {
    *out = footer->header;
    footer->header = NULL;
    rn_err_clear(err);
    status = RN_OK;
  }
  if (footer != NULL) retnet__shard_footer__free_unpacked(footer, NULL);
  if (status == RN_OK && ((*out)->tokenizer == NULL || !header_is_valid(*out))) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: its header is invalid", file->path);
  }
  return status;
}

static rn_status recover_into(rn_err *err, recovery *r, const rn_file *file, unsigned char *bytes,
                              rn_shard_recovery *out) {
  const Retnet__ShardHeader *h = r->header;
  rn_path target;
  const rn_shard_kind kind = {h->tokenizer, h->tokenizer_hash, (int)h->vocabulary,
                              (int)h->document_token};
  snprintf(target.text, sizeof target.text, "%.*s.recovered", RN_PATH_BYTES - 16, r->path);
  RN_TRY(err, rn_file_read(err, file, 0, bytes, (size_t)file->size_bytes));
  RN_TRY(err, rn_shard_writer_create(err, target.text, kind, &r->writer));
  RN_TRY(err, copy_blocks(err, r, out));
  if (out->blocks == 0) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s has no undamaged block, so nothing can be recovered; build the data again",
                   r->path);
  }
  return rn_shard_finish(err, &r->writer);
}

rn_status rn_shard_recover(rn_err *err, const char *path, rn_shard_recovery *out) {
  rn_file file = {0};
  Retnet__ShardHeader *header = NULL;
  unsigned char *bytes = NULL;
  recovery r = {.path = path};
  *out = (rn_shard_recovery){0};
  RN_TRY(err, rn_file_open(err, path, &file));
  rn_status status = find_header(err, &file, &header);
  if (status == RN_OK) {
    status = rn_alloc(err, "damaged shard", (size_t)file.size_bytes, 1, &bytes);
  }
  if (status == RN_OK) {
    status = rn_alloc(err, "block tokens", header->block_tokens, sizeof *r.ids, &r.ids);
  }
  if (status == RN_OK) {
    r.bytes = bytes;
    r.count = (size_t)file.size_bytes;
    r.header = header;
    status = recover_into(err, &r, &file, bytes, out);
  }
  rn_shard_abandon(&r.writer);
  if (header != NULL) retnet__shard_header__free_unpacked(header, NULL);
  rn_file_destroy(&file);
  free(r.ids);
  free(bytes);
  return status;
}
