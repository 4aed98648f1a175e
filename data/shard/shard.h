/**
 * Shards (.rtd files) hold tokens in blocks. Each block is one zstd frame; checksums cover all
 * bytes.
 *
 *   header frame    skippable, 1024 bytes: "RTDHEAD1", length, ShardHeader, zeros, sum
 *   block frames    zstd; each holds one Block with its field tag, so `zstd -dc` yields a Shard
 *   footer frame    skippable: ShardFooter, sum
 *   postscripts     three times, skippable, 64 bytes: "RTDPOST1", offset, size and sum of the
 *                   footer, sum
 *
 * Each sum at the end of a frame is the XXH3-64 of all preceding bytes of the frame, including the
 * header of the frame. Equal tokens and options give equal bytes, independent of time and path.
 * Every block but the last has block_tokens tokens.
 */
#ifndef RN_DATA_SHARD_SHARD_H
#define RN_DATA_SHARD_SHARD_H

#include <stdint.h>

#include "data/file/file.h"
#include "proto/base/status.h"
#include "proto/schema/shard.pb-c.h"

enum { RN_SHARD_BLOCK_TOKENS = 65536, RN_SHARD_MAX_BLOCK_BYTES = 1 << 26 };
/** Limit of a shard's vocabulary, including the document token. */
enum { RN_SHARD_MAX_VOCABULARY = 1 << 24 };

/** The properties that all shards of a data folder share. */
typedef struct rn_shard_kind {
  const char *tokenizer;
  uint64_t tokenizer_hash;
  int vocabulary, document_token;
} rn_shard_kind;

typedef struct rn_shard_writer rn_shard_writer;

/** Begins a shard at `path`.tmp. Ownership: the strings of kind must outlive the writer. Errors:
 * RN_ERR_USAGE if the vocabulary is above RN_SHARD_MAX_VOCABULARY; those of rn_file_create. */
rn_status rn_shard_writer_create(rn_err *err, const char *path, rn_shard_kind kind,
                                 rn_shard_writer **out);
/** Appends tokens that encode `text_bytes` bytes of text. */
rn_status rn_shard_append(rn_err *err, rn_shard_writer *writer, const int32_t *tokens,
                          int64_t count, int64_t text_bytes);
/** Writes footer and postscripts, renames the file durably, and destroys the writer. */
rn_status rn_shard_finish(rn_err *err, rn_shard_writer **writer);
/** Destroys the writer and removes its temporary file. Accepts NULL. */
void rn_shard_abandon(rn_shard_writer **writer);

typedef struct rn_shard {
  rn_file file;
  Retnet__ShardFooter *footer;
} rn_shard;

/** Opens a shard; checks header, postscript, footer and the extents of all blocks. */
rn_status rn_shard_open(rn_err *err, const char *path, rn_shard *out);
void rn_shard_close(rn_shard *shard);

/** Reads a block into tokens [block_tokens]. Errors: RN_ERR_FORMAT naming the block. */
rn_status rn_shard_read_block(rn_err *err, const rn_shard *shard, int64_t block, int32_t *tokens);

/** Checks every byte of the file: all checksums, all postscripts, all blocks against the footer. */
rn_status rn_shard_verify(rn_err *err, const char *path);

/** Result of a recovery: the numbers of recovered tokens and blocks, and the number of bytes
 * between header and footer that could not be recovered. */
typedef struct rn_shard_recovery {
  int64_t tokens, blocks, lost_bytes;
} rn_shard_recovery;

/**
 * Writes `path`.recovered from the intact blocks of a damaged or truncated shard, including blocks
 * that follow a damaged one.
 * Errors: RN_ERR_FORMAT if neither the header nor the footer is readable, or if no block is intact.
 */
rn_status rn_shard_recover(rn_err *err, const char *path, rn_shard_recovery *out);

#endif
