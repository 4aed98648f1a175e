/**
 * Shards (.rtd): tokens in blocks, each block one zstd frame, all bytes under a sum.
 *
 *   header frame    skippable, 1024 bytes: "RTDHEAD1", length, ShardHeader, zeros, sum
 *   block frames    zstd; each holds one Block with its field tag, so `zstd -dc` gives a Shard
 *   footer frame    skippable: ShardFooter, sum
 *   postscripts     three times, skippable, 64 bytes: "RTDPOST1", place and sum of the footer, sum
 *
 * Sums are XXH3-64 over the bytes before them, frame headers included. Nothing depends on time or
 * place: equal tokens and options give equal bytes. Every block but the last has block_tokens
 * tokens.
 */
#ifndef RN_DATA_SHARD_SHARD_H
#define RN_DATA_SHARD_SHARD_H

#include <stdint.h>

#include "data/file/file.h"
#include "proto/base/status.h"
#include "proto/schema/shard.pb-c.h"

enum { RN_SHARD_BLOCK_TOKENS = 65536, RN_SHARD_MAX_BLOCK_BYTES = 1 << 26 };

/** What every shard of a data folder shares. */
typedef struct rn_shard_kind {
  const char *tokenizer;
  uint64_t tokenizer_hash;
  int vocabulary, document_token;
} rn_shard_kind;

typedef struct rn_shard_writer rn_shard_writer;

/** Starts a shard at `path`.tmp. Ownership: kind's texts outlive the writer. */
rn_status rn_shard_writer_create(rn_err *err, const char *path, rn_shard_kind kind,
                                 rn_shard_writer **out);
/** Appends tokens; `text_bytes` of text stand behind them. */
rn_status rn_shard_append(rn_err *err, rn_shard_writer *writer, const int32_t *tokens,
                          int64_t count, int64_t text_bytes);
/** Writes footer and postscripts and gives the file its name, durably. The writer is gone. */
rn_status rn_shard_finish(rn_err *err, rn_shard_writer **writer);
/** Gives up: nothing of that name appears. Takes NULL. */
void rn_shard_abandon(rn_shard_writer **writer);

typedef struct rn_shard {
  rn_file file;
  Retnet__ShardFooter *footer;
} rn_shard;

/** Opens a whole shard: postscript, footer, header and the places of blocks are checked. */
rn_status rn_shard_open(rn_err *err, const char *path, rn_shard *out);
void rn_shard_close(rn_shard *shard);

/** Tokens of a block; tokens has room for block_tokens. Errors: RN_ERR_FORMAT naming the place. */
rn_status rn_shard_read_block(rn_err *err, const rn_shard *shard, int64_t block, int32_t *tokens);

/** Every byte of the file: all sums, all postscripts, all blocks against the footer. */
rn_status rn_shard_verify(rn_err *err, const char *path);

/** What a recovery saved, and what lay between header and footer and could not be saved. */
typedef struct rn_shard_recovery {
  int64_t tokens, blocks, lost_bytes;
} rn_shard_recovery;

/**
 * Writes `path`.recovered from the whole blocks of a damaged or cut shard, also behind damage.
 * Errors: RN_ERR_FORMAT when neither header nor footer says what the tokens are.
 */
rn_status rn_shard_recover(rn_err *err, const char *path, rn_shard_recovery *out);

#endif
