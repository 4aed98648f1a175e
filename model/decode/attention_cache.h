/**
 * The keys and values that the attention layers of a decoder hold, for each slot (sequence) apart.
 *
 * Token n of a sequence is at index n mod `capacity`. With a window of w tokens a layer holds the
 * last w (a ring buffer), otherwise all tokens. Indices are divided into blocks of RN_CACHE_BLOCK:
 * the attention of a token over one block is one task, and the results of the blocks are combined
 * in ascending order. So bits depend neither on the number of threads nor on other sequences.
 *
 *   block i:  e_m = exp(q . k_m / sqrt(K) - top_i),  sum_i = sum_m e_m,  o_i = sum_m e_m v_m
 *   o = sum_i exp(top_i - top) o_i / sum_i exp(top_i - top) sum_i,   top = max_i top_i
 *
 * Source: Dao et al., Flash-Decoding (2023), without its division by the number of threads.
 */
#ifndef RN_MODEL_DECODE_ATTENTION_CACHE_H
#define RN_MODEL_DECODE_ATTENTION_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/spec/spec.h"
#include "proto/base/range.h"
#include "proto/base/real.h"
#include "proto/base/status.h"

enum { RN_CACHE_BLOCK = 256 };

typedef struct rn_attention_cache {
  int layers, slots;          /* `layers`: number of attention layers */
  int heads, kv_heads, width; /* H, G, K */
  int64_t capacity;           /* tokens that are held at most */
  int block, blocks;          /* tokens of a block; blocks of a sequence */
  /* [layers, slots, G, blocks, 2, K block]: keys [block, K], values transposed [K, block] */
  rn_real *memory;
} rn_attention_cache;

/** One key head of one slot in one layer; `layer` counts attention layers only. */
typedef struct rn_cache_head {
  const rn_attention_cache *cache;
  int layer, slot, kv_head;
} rn_cache_head;

/** Returns the sizes for sequences of at most `max_tokens` tokens, without memory. */
rn_attention_cache rn_attention_cache_shape(const rn_spec *spec, int slots, int64_t max_tokens);
/** Returns the bytes of the keys and values of all slots. */
size_t rn_attention_cache_bytes(const rn_attention_cache *shape);
/** Allocates the memory of a shape. Errors: RN_ERR_MEMORY. */
rn_status rn_attention_cache_create(rn_err *err, rn_attention_cache *cache);
void rn_attention_cache_destroy(rn_attention_cache *cache);

/** Returns the tokens that are held when the next token has position n: [begin, n). */
static inline rn_range rn_attention_cache_held(const rn_attention_cache *cache, int64_t n) {
  return (rn_range){n > cache->capacity ? n - cache->capacity : 0, n};
}

/** Stores the rotated key [K] and the value [K] of the token at a position. */
void rn_attention_cache_put(rn_cache_head at, int64_t position, const rn_real *key,
                            const rn_real *value);
/** Copies the key and the value of a token that is held. */
void rn_attention_cache_get(rn_cache_head at, int64_t position, rn_real *key, rn_real *value);

/** The place of one token's key, K elements, and value, K elements `stride` apart. */
typedef struct rn_cache_token {
  rn_real *key, *value;
  int64_t stride;
} rn_cache_token;

/** Returns the place of the token at a position. */
rn_cache_token rn_attention_cache_token(rn_cache_head at, int64_t position);

/** Returns the number of blocks that hold `count` tokens. */
static inline int rn_attention_cache_used(const rn_attention_cache *cache, int64_t count) {
  return (int)((count + cache->block - 1) / cache->block);
}

/** Returns the elements that rn_attention_cache_attend writes for each query: o_i [K], top_i and
 * sum_i. */
static inline int rn_attention_cache_partial(const rn_attention_cache *cache) {
  return cache->width + 2;
}

/**
 * Computes o_i, top_i, sum_i of one block for the H/G rotated queries [H/G, K] of a key head, when
 * `held` tokens are held. Shapes: scratch [H/G, block]; query j's results are written to partial +
 * j * ld.
 */
void rn_attention_cache_attend(rn_cache_head at, int block, int64_t held, const rn_real *queries,
                               rn_real *scratch, rn_real *partial, int64_t ld);

/** Combines the results of `blocks` blocks of one query into o [K]. */
void rn_attention_cache_combine(const rn_attention_cache *cache, int blocks, const rn_real *partial,
                                rn_real *o);

#endif
