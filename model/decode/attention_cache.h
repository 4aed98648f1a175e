/**
 * Stores the keys and values of earlier tokens for the attention layers of a decoder (KV cache),
 * separately for each slot (sequence).
 *
 * Token n of a sequence is stored at index n mod `capacity`. With a window of w tokens, the cache
 * stores the last w tokens (a ring buffer); otherwise it stores all tokens. Indices are divided
 * into blocks of RN_CACHE_BLOCK. The attention of one token over one block is a task, and the
 * results of the blocks are combined in ascending order. The bits of the results therefore depend
 * neither on the number of threads nor on other sequences.
 *
 *   block i:  top_i = max_m q . k_m / sqrt(K),  e_m = exp(q . k_m / sqrt(K) - top_i),
 *             sum_i = sum_m e_m,  o_i = sum_m e_m v_m
 *   o = sum_i exp(top_i - top) o_i / sum_i exp(top_i - top) sum_i,   top = max_i top_i
 *
 * Source: Dao et al., Flash-Decoding (2023), but the blocks do not depend on the number of threads.
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
  int64_t capacity;           /* maximum number of tokens that are stored */
  int block, blocks;          /* number of tokens of a block; number of blocks of a sequence */
  /* [layers, slots, G, blocks, 2, K block]: keys [block, K], values transposed [K, block] */
  rn_real *memory;
} rn_attention_cache;

/** A key head of one slot in one layer; `layer` is an index among the attention layers. */
typedef struct rn_cache_head {
  const rn_attention_cache *cache;
  int layer, slot, kv_head;
} rn_cache_head;

/** Returns a cache that has sizes but no memory, for sequences of at most `max_tokens` tokens. */
rn_attention_cache rn_attention_cache_shape(const rn_spec *spec, int slots, int64_t max_tokens);
/** Returns the size in bytes of the keys and values of all slots; it may exceed SIZE_MAX. */
double rn_attention_cache_bytes(const rn_attention_cache *shape);
/** Allocates the memory of a cache that has sizes. Errors: RN_ERR_MEMORY. */
rn_status rn_attention_cache_create(rn_err *err, rn_attention_cache *cache);
void rn_attention_cache_destroy(rn_attention_cache *cache);

/** Returns the positions [begin, n) of the tokens that are stored when the next token has position
 * n. */
static inline rn_range rn_attention_cache_held(const rn_attention_cache *cache, int64_t n) {
  return (rn_range){n > cache->capacity ? n - cache->capacity : 0, n};
}

/** Stores the rotated key [K] and the value [K] of the token at a position. */
void rn_attention_cache_put(rn_cache_head at, int64_t position, const rn_real *key,
                            const rn_real *value);
/** Copies the stored key [K] and value [K] of the token at a position to `key` and `value`. */
void rn_attention_cache_get(rn_cache_head at, int64_t position, rn_real *key, rn_real *value);

/** The addresses of one token's key (K contiguous elements) and value (K elements at a distance of
 * `stride` elements). */
typedef struct rn_cache_token {
  rn_real *key, *value;
  int64_t stride;
} rn_cache_token;

/** Returns the addresses of the key and the value of the token at a position. */
rn_cache_token rn_attention_cache_token(rn_cache_head at, int64_t position);

/** Returns the number of blocks that hold `count` tokens. */
static inline int rn_attention_cache_used(const rn_attention_cache *cache, int64_t count) {
  return (int)((count + cache->block - 1) / cache->block);
}

/** Returns the number of elements that rn_attention_cache_attend writes for each query: o_i [K],
 * top_i and sum_i. */
static inline int rn_attention_cache_partial(const rn_attention_cache *cache) {
  return cache->width + 2;
}

/**
 * Computes o_i, top_i and sum_i of one block for the H/G rotated queries [H/G, K] of a key head.
 * `held` is the number of tokens that are stored. Shapes: scratch [H/G, block]; the results of
 * query j are written to partial + j * ld.
 */
void rn_attention_cache_attend(rn_cache_head at, int block, int64_t held, const rn_real *queries,
                               rn_real *scratch, rn_real *partial, int64_t ld);

/** Combines the results of `blocks` blocks of one query into o [K]. */
void rn_attention_cache_combine(const rn_attention_cache *cache, int blocks, const rn_real *partial,
                                rn_real *o);

#endif
