#include "data/tokenizer/token_table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"

static rn_status reserve_ids(rn_err *err, rn_token_table *table, int ids) {
  RN_TRY(err, rn_grow(err, "tokens of the tokenizer", (size_t)ids, sizeof *table->token,
                      &table->token, &table->capacity));
  for (; table->ids < ids; table->ids++) table->token[table->ids] = (rn_token){0};
  return RN_OK;
}

static rn_status reserve_bytes(rn_err *err, rn_token_table *table, size_t more) {
  const size_t need = table->bytes_count + more;
  if (need > UINT32_MAX) { /* rn_token.offset */
    return rn_fail(err, RN_ERR_FORMAT, "the texts of all tokens together exceed 4 GiB");
  }
  return rn_grow(err, "text of the tokenizer", need, 1, &table->bytes, &table->bytes_capacity);
}

rn_status rn_token_table_add(rn_err *err, rn_token_table *table, int64_t id, rn_token_kind kind,
                             const void *bytes, size_t count) {
  if (id < 0 || id >= RN_TOKEN_IDS) {
    return rn_fail(err, RN_ERR_FORMAT, "token id %lld is outside the range 0 to %d", (long long)id,
                   RN_TOKEN_IDS - 1);
  }
  RN_TRY(err, reserve_ids(err, table, id >= table->ids ? (int)id + 1 : table->ids));
  rn_token *token = &table->token[id];
  if (token->kind != RN_TOKEN_NONE) {
    return rn_fail(err, RN_ERR_FORMAT, "two tokens have the id %lld", (long long)id);
  }
  RN_TRY(err, reserve_bytes(err, table, count + 1));
  *token = (rn_token){(uint32_t)table->bytes_count, (uint32_t)count, kind};
  if (count > 0) memcpy(table->bytes + table->bytes_count, bytes, count);
  table->bytes[table->bytes_count + count] = '\0';
  table->bytes_count += count + 1;
  return RN_OK;
}

void rn_token_table_free(rn_token_table *table) {
  free(table->token);
  free(table->bytes);
  *table = (rn_token_table){0};
}
