/** The byte tokenizer: 256 bytes and the document token. */
#ifndef RN_DATA_TEXT_TOKENIZER_H
#define RN_DATA_TEXT_TOKENIZER_H

#include "data/shard/shard.h"

enum { RN_BYTES_DOCUMENT = 256, RN_BYTES_VOCABULARY = 257 };

/** Returns the kind of the shards that this tokenizer produces. */
static inline rn_shard_kind rn_tokenizer_kind(void) {
  return (rn_shard_kind){"bytes", UINT64_C(0x6279746573000101), RN_BYTES_VOCABULARY,
                         RN_BYTES_DOCUMENT};
}

#endif
