/* Implements the hash tables of byte-pair encoding: tokens by their bytes, and merges by their
 * pairs of ids. */
#include "data/tokenizer/bpe.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/tokenizer/bpe_pair.h"
#include "proto/base/arena.h"

/* Returns the slot that holds the id of these bytes, or a free slot if no token has them. */
static size_t slot_of(const rn_bpe *bpe, const unsigned char *bytes, size_t count) {
  const size_t mask = bpe->token_slots - 1;
  for (size_t i = XXH3_64bits(bytes, count) & mask;; i = (i + 1) & mask) {
    const int32_t id = bpe->by_bytes[i];
    if (id < 0) return i;
    if (bpe->table->token[id].count == count &&
        memcmp(rn_token_bytes(bpe->table, id), bytes, count) == 0) {
      return i;
    }
  }
}

int32_t rn_bpe_find(const rn_bpe *bpe, const unsigned char *bytes, size_t count) {
  return bpe->by_bytes[slot_of(bpe, bytes, count)];
}

/* Returns a power of two that is at least twice the count. */
static size_t slots_for(size_t count) {
  size_t slots = 16;
  while (slots < 2 * count) slots *= 2;
  return slots;
}

static rn_status index_token(rn_err *err, rn_bpe *bpe, int32_t id) {
  const rn_token *token = &bpe->table->token[id];
  const unsigned char *bytes = rn_token_bytes(bpe->table, id);
  if (token->count == 0) return rn_fail(err, RN_ERR_FORMAT, "token %d is empty", id);
  const size_t slot = slot_of(bpe, bytes, token->count);
  if (bpe->by_bytes[slot] >= 0) {
    return rn_fail(err, RN_ERR_FORMAT, "tokens %d and %d have the same bytes", bpe->by_bytes[slot],
                   id);
  }
  bpe->by_bytes[slot] = id;
  if (token->count == 1) bpe->byte_id[bytes[0]] = id;
  return RN_OK;
}

rn_status rn_bpe_set_tokens(rn_err *err, rn_bpe *bpe, const rn_token_table *table) {
  bpe->table = table;
  bpe->token_slots = slots_for((size_t)table->ids);
  RN_TRY(err, rn_alloc(err, "vocabulary", bpe->token_slots, sizeof *bpe->by_bytes, &bpe->by_bytes));
  for (size_t i = 0; i < bpe->token_slots; i++) bpe->by_bytes[i] = -1;
  for (int i = 0; i < 256; i++) bpe->byte_id[i] = -1;
  for (int32_t id = 0; id < table->ids; id++) {
    if (table->token[id].kind == RN_TOKEN_TEXT) RN_TRY(err, index_token(err, bpe, id));
  }
  for (int i = 0; i < 256; i++) {
    if (bpe->byte_id[i] < 0) {
      return rn_fail(err, RN_ERR_FORMAT,
                     "no token is the single byte 0x%02x; byte-level BPE needs one for each byte",
                     i);
    }
  }
  return RN_OK;
}

rn_status rn_bpe_reserve_pairs(rn_err *err, rn_bpe *bpe, size_t count) {
  assert(bpe->pair == NULL);
  bpe->pair_slots = slots_for(count);
  RN_TRY(err, rn_alloc(err, "merges", bpe->pair_slots, sizeof *bpe->pair, &bpe->pair));
  for (size_t i = 0; i < bpe->pair_slots; i++) bpe->pair[i].rank = RN_BPE_NO_RANK;
  return RN_OK;
}

void rn_bpe_add_pair(rn_bpe *bpe, rn_bpe_pair pair) {
  rn_bpe_pair *slot = &bpe->pair[rn_bpe_pair_slot(bpe, pair.left, pair.right)];
  if (slot->rank <= pair.rank) return;
  if (slot->rank == RN_BPE_NO_RANK) {
    bpe->pairs++;
    assert(2 * bpe->pairs <= bpe->pair_slots);
  }
  *slot = pair;
}

/* Counts the pairs of tokens whose concatenated bytes are those of token `id`; adds these pairs if
 * `add` is true. */
static size_t splits_of(rn_bpe *bpe, int32_t id, bool add) {
  const rn_token *token = &bpe->table->token[id];
  const unsigned char *bytes = rn_token_bytes(bpe->table, id);
  size_t found = 0;
  if (token->kind != RN_TOKEN_TEXT) return 0;
  for (uint32_t cut = 1; cut < token->count; cut++) {
    const int32_t left = rn_bpe_find(bpe, bytes, cut);
    if (left < 0) continue;
    const int32_t right = rn_bpe_find(bpe, bytes + cut, token->count - cut);
    if (right < 0) continue;
    found++;
    if (add) rn_bpe_add_pair(bpe, (rn_bpe_pair){left, right, id, (uint32_t)id});
  }
  return found;
}

rn_status rn_bpe_add_all_splits(rn_err *err, rn_bpe *bpe) {
  size_t count = 0;
  for (int32_t id = 0; id < bpe->table->ids; id++) count += splits_of(bpe, id, false);
  RN_TRY(err, rn_bpe_reserve_pairs(err, bpe, count));
  for (int32_t id = 0; id < bpe->table->ids; id++) splits_of(bpe, id, true);
  return RN_OK;
}

void rn_bpe_free(rn_bpe *bpe) {
  free(bpe->pair);
  free(bpe->by_bytes);
  *bpe = (rn_bpe){0};
}
