/** Describes the byte tokenizer in the form in which shards record their tokenizer. */
#ifndef RN_DATA_TEXT_TOKENIZER_H
#define RN_DATA_TEXT_TOKENIZER_H

#include "data/shard/shard.h"
#include "data/tokenizer/bytes.h"

/** Returns the properties of all shards that are made with the byte tokenizer. */
static inline rn_shard_kind rn_tokenizer_kind(void) {
  return (rn_shard_kind){RN_BYTES_NAME, RN_BYTES_HASH, RN_BYTES_VOCABULARY, RN_BYTES_DOCUMENT};
}

#endif
