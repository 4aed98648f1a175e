/** A split (train or val) is the concatenation of all shards in a folder, in the order of their
 * names. */
#ifndef RN_DATA_BATCH_SPLIT_H
#define RN_DATA_BATCH_SPLIT_H

#include "data/shard/shard.h"

/** Name of the tokenizer's file in the folder of the shards (data/tokenizer/tokenizer_file.h). */
#define RN_SPLIT_TOKENIZER_FILE "tokenizer.pb.zst"

typedef struct rn_split {
  rn_shard *shard; /* [shards] */
  int shards;
  int64_t *first; /* [shards + 1] index of each shard's first token */
  int64_t tokens;
  uint64_t content;     /* hash of the content hashes of all shards, in order */
  void *tokenizer_file; /* content of the tokenizer's file; NULL: none */
  size_t tokenizer_file_bytes;
  int32_t *cached; /* tokens of the block that was read last */
  int cached_shard;
  int64_t cached_block; /* block in `cached`; -1: none */
} rn_split;

/**
 * Opens folder `dir`/`name`; if it does not exist or has no shards, opens `dir` itself.
 * Errors: RN_ERR_NOT_FOUND naming the folder, RN_ERR_FORMAT naming a shard that is damaged or that
 *         differs in kind from the first.
 */
rn_status rn_split_open(rn_err *err, const char *dir, const char *name, rn_split *out);
void rn_split_close(rn_split *split);

/** Reads tokens [first, first + count). Not thread-safe: one block is cached. */
rn_status rn_split_read(rn_err *err, rn_split *split, int64_t first, int64_t count,
                        int32_t *tokens);

/** Returns the header of the first shard; all shards of the split have the same kind and block
 * size. */
const Retnet__ShardHeader *rn_split_header(const rn_split *split);

/** Returns the number of sequences of T inputs and T targets in the split: (tokens - 1) / T. */
int64_t rn_split_sequences(const rn_split *split, int sequence_length);

#endif
