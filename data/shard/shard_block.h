/** Packs the tokens of a block into the zstd frame that a shard stores. */
#ifndef RN_DATA_SHARD_SHARD_BLOCK_H
#define RN_DATA_SHARD_SHARD_BLOCK_H

#include "data/shard/shard.h"

/** The tokens of a block. */
typedef struct rn_block_tokens {
  const int32_t *id; /* [count] */
  int64_t count, text_bytes;
} rn_block_tokens;

/** How blocks of a shard are packed. */
typedef struct rn_block_format {
  const char *path; /* of the shard, for messages */
  int width;        /* bytes of a token */
  int32_t document_token;
} rn_block_format;

/** A packed block. */
typedef struct rn_block_packed {
  void *stored; /* [stored_bytes] the zstd frame */
  size_t stored_bytes, raw_bytes;
  uint64_t documents; /* number of document tokens in the block */
} rn_block_packed;

/**
 * Packs `count` blocks with all threads. The bytes do not depend on the number of threads.
 *
 * Ownership: the caller frees `stored` of every block, also after a failure; `packed` must be
 *            zeroed.
 * Errors:    RN_ERR_MEMORY, RN_ERR_LIBRARY: the error of the first block that fails.
 */
rn_status rn_blocks_pack(rn_err *err, rn_block_format format, const rn_block_tokens *block,
                         int count, rn_block_packed *packed);

#endif
