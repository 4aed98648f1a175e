/**
 * Encodes one piece of a text by byte-level byte-pair encoding (BPE).
 *
 * Encoding starts with the ids of the single bytes. It repeatedly merges the adjacent pair with the
 * lowest rank (of equal ranks, the leftmost pair) until no pair has a rank. With `whole_first`, a
 * piece that equals the bytes of a token becomes that token, even if merging would not produce it.
 */
#ifndef RN_DATA_TOKENIZER_BPE_H
#define RN_DATA_TOKENIZER_BPE_H

#include <stdbool.h>

#include "data/tokenizer/token_table.h"
#include "data/tokenizer/tokenizer.h"

/** A pair of adjacent ids, the rank of its merge, and the id that it becomes. */
typedef struct rn_bpe_pair {
  int32_t left, right, id;
  uint32_t rank;
} rn_bpe_pair;

/** Zero-initialise. */
typedef struct rn_bpe {
  const rn_token_table *table; /* all tokens; only those of kind RN_TOKEN_TEXT are merged */
  int32_t byte_id[256];
  bool whole_first;
  rn_bpe_pair *pair; /* [pair_slots] hash table; rank UINT32_MAX: empty */
  size_t pair_slots, pairs;
  int32_t *by_bytes; /* [token_slots] hash table of ids; -1: empty */
  size_t token_slots;
} rn_bpe;

/**
 * Sets the tokens; finds the ids of the single bytes, and indexes the tokens by their bytes.
 * Errors: RN_ERR_FORMAT for a byte without a token, two tokens with the same bytes, or an empty
 *         token; RN_ERR_MEMORY. Ownership: the table must outlive the object.
 */
rn_status rn_bpe_set_tokens(rn_err *err, rn_bpe *bpe, const rn_token_table *table);

/** Returns the id of the token with these bytes, or -1. */
int32_t rn_bpe_find(const rn_bpe *bpe, const unsigned char *bytes, size_t count);

/** Prepares for `count` calls of rn_bpe_add_pair. */
rn_status rn_bpe_reserve_pairs(rn_err *err, rn_bpe *bpe, size_t count);

/** Adds a pair; if the pair was added before, the lower rank counts. Ranks are below UINT32_MAX. */
void rn_bpe_add_pair(rn_bpe *bpe, rn_bpe_pair pair);

/**
 * Adds every pair of tokens whose joined bytes are a token, with that token's id as the rank, so
 * that merges are ordered by the rank of the joined bytes, as in tiktoken.
 */
rn_status rn_bpe_add_all_splits(rn_err *err, rn_bpe *bpe);

/** Frees the tables and zeroes the object. */
void rn_bpe_free(rn_bpe *bpe);

/** Workspace for merging; grows to the size that the longest piece needs. Zero-initialise. */
typedef struct rn_bpe_work {
  int32_t *id; /* [capacity] id of the part (a byte, or a token merged so far) that begins at each
                  position */
  uint32_t *next, *prev; /* [capacity] positions of the next and the previous part */
  uint32_t *rank; /* [capacity] rank of the pair that begins at each position; UINT32_MAX: none */
  size_t capacity;
  uint64_t *heap; /* [heap_capacity] rank << 32 | position */
  size_t heap_count, heap_capacity;
} rn_bpe_work;

/** Frees the arrays and zeroes the object. */
void rn_bpe_work_free(rn_bpe_work *work);

/**
 * Appends the ids of a piece of at least one byte, in O(n log n).
 * Errors: RN_ERR_MEMORY; RN_ERR_USAGE for a piece of 1 GiB or more.
 */
rn_status rn_bpe_encode(rn_err *err, const rn_bpe *bpe, rn_bpe_work *work,
                        const unsigned char *piece, size_t count, rn_tokens *tokens);

#endif
