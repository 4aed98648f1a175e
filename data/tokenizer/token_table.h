/** Stores the tokens of a vocabulary by id, with their bytes and kinds. Ids may have gaps. */
#ifndef RN_DATA_TOKENIZER_TOKEN_TABLE_H
#define RN_DATA_TOKENIZER_TOKEN_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

/** Exclusive upper bound of ids, set by the shard format. */
enum { RN_TOKEN_IDS = 1 << 24 };

typedef enum { RN_TOKEN_NONE, RN_TOKEN_TEXT, RN_TOKEN_SPECIAL } rn_token_kind;

typedef struct rn_token {
  uint32_t offset, count; /* position and number of the token's bytes in rn_token_table.bytes */
  rn_token_kind kind;
} rn_token;

/** Zero-initialise. */
typedef struct rn_token_table {
  rn_token *token; /* [ids] */
  int ids;         /* largest id + 1 */
  size_t capacity;
  unsigned char *bytes;
  size_t bytes_count, bytes_capacity;
} rn_token_table;

/**
 * Adds a token. A zero byte, which `count` does not include, is stored after the token's bytes.
 * Errors: RN_ERR_FORMAT if the id is out of range or taken; RN_ERR_MEMORY. The message does not
 *         name a file; the caller adds the name.
 */
rn_status rn_token_table_add(rn_err *err, rn_token_table *table, int64_t id, rn_token_kind kind,
                             const void *bytes, size_t count);
/** Frees the arrays and zeroes the object. */
void rn_token_table_free(rn_token_table *table);

/** Returns the bytes of a token. */
static inline const unsigned char *rn_token_bytes(const rn_token_table *table, int32_t id) {
  return table->bytes + table->token[id].offset;
}

#endif
