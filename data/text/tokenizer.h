/** Describes the shards that the byte tokenizer produces. */
#ifndef RN_DATA_TEXT_TOKENIZER_H
#define RN_DATA_TEXT_TOKENIZER_H

#include "data/shard/shard.h"
#include "data/tokenizer/bytes.h"

/** Returns the kind of the shards that the byte tokenizer produces. */
static inline rn_shard_kind rn_tokenizer_kind(void) {
  return (rn_shard_kind){RN_BYTES_NAME, RN_BYTES_HASH, RN_BYTES_VOCABULARY, RN_BYTES_DOCUMENT};
}

#endif
