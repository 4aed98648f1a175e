#include "model/decode/attention_cache.h"

#include <math.h>
#include <stdlib.h>

#include "model/base/array.h"
#include "model/kernel/kernels.h"
#include "proto/base/arena.h"

/* The maximum capacity of a cache; no machine has memory for more tokens. With this limit, the
 * number of blocks fits into an int; the bytes of a whole cache may still exceed size_t. */
static const int64_t MAX_TOKENS = INT64_C(1) << 32;

rn_attention_cache rn_attention_cache_shape(const rn_spec *spec, int slots, int64_t max_tokens) {
  rn_attention_cache c = {.layers = rn_spec_attention_layers(spec, 0, spec->layers),
                          .slots = slots};
  if (c.layers == 0) return c;
  c.heads = spec->attention_heads;
  c.kv_heads = spec->kv_heads;
  c.width = rn_spec_attention_width(spec);
  c.capacity = rn_smaller(max_tokens > 1 ? max_tokens : 1, MAX_TOKENS);
  if (spec->attention_window > 0) c.capacity = rn_smaller(c.capacity, spec->attention_window);
  c.block = (int)rn_smaller(c.capacity, RN_CACHE_BLOCK);
  c.blocks = rn_attention_cache_used(&c, c.capacity);
  return c;
}

/* Returns the number of elements of one key head of one slot in one layer. */
static size_t head_elements(const rn_attention_cache *c) {
  return (size_t)c->blocks * 2 * (size_t)c->width * (size_t)c->block;
}

double rn_attention_cache_bytes(const rn_attention_cache *c) {
  return (double)c->layers * c->slots * c->kv_heads * (double)(head_elements(c) * sizeof(rn_real));
}

rn_status rn_attention_cache_create(rn_err *err, rn_attention_cache *cache) {
  const size_t heads = (size_t)cache->layers * (size_t)cache->slots * (size_t)cache->kv_heads;
  return rn_alloc(err, "keys and values of attention layers", heads,
                  head_elements(cache) * sizeof(rn_real), &cache->memory);
}

void rn_attention_cache_destroy(rn_attention_cache *cache) {
  free(cache->memory);
  cache->memory = NULL;
}

/* Returns the keys [block, K] of a block; the values [K, block] follow the keys. */
static rn_real *keys_of(rn_cache_head at, int block) {
  const rn_attention_cache *c = at.cache;
  const size_t head =
      ((size_t)at.layer * (size_t)c->slots + (size_t)at.slot) * (size_t)c->kv_heads +
      (size_t)at.kv_head;
  return c->memory + head * head_elements(c) +
         (size_t)block * 2 * (size_t)c->width * (size_t)c->block;
}

rn_cache_token rn_attention_cache_token(rn_cache_head at, int64_t position) {
  const int K = at.cache->width, B = at.cache->block;
  const int64_t index = position % at.cache->capacity, in_block = index % B;
  rn_real *keys = keys_of(at, (int)(index / B));
  return (rn_cache_token){keys + in_block * K, keys + (int64_t)K * B + in_block, B};
}

void rn_attention_cache_put(rn_cache_head at, int64_t position, const rn_real *key,
                            const rn_real *value) {
  const rn_cache_token token = rn_attention_cache_token(at, position);
  for (int e = 0; e < at.cache->width; e++) {
    token.key[e] = key[e];
    token.value[e * token.stride] = value[e];
  }
}

void rn_attention_cache_get(rn_cache_head at, int64_t position, rn_real *key, rn_real *value) {
  const rn_cache_token token = rn_attention_cache_token(at, position);
  for (int e = 0; e < at.cache->width; e++) {
    key[e] = token.key[e];
    value[e] = token.value[e * token.stride];
  }
}

void rn_attention_cache_attend(rn_cache_head at, int block, int64_t held, const rn_real *queries,
                               rn_real *scratch, rn_real *partial, int64_t ld) {
  const rn_kernels *kernels = rn_kernels_table();
  const int K = at.cache->width, B = at.cache->block;
  const int group = at.cache->heads / at.cache->kv_heads;
  const int count = (int)rn_smaller(held - (int64_t)block * B, B);
  const rn_real scale = (rn_real)(1 / sqrt((double)K));
  const rn_real *keys = keys_of(at, block), *values = keys + (int64_t)K * B;
  kernels->skinny_gemm(group, count, K, queries, K, rn_reals((rn_real *)keys), K, 0, scratch, B);
  for (int j = 0; j < group; j++) {
    rn_real *s = scratch + (int64_t)j * B, *out = partial + j * ld;
    rn_real top = -(rn_real)INFINITY, sum = 0;
    for (int i = 0; i < count; i++) s[i] *= scale;
    kernels->softmax_add(count, s, &top, &sum);
    out[K] = top;
    out[K + 1] = sum;
  }
  kernels->skinny_gemm(group, K, count, scratch, B, rn_reals((rn_real *)values), B, 0, partial, ld);
}

void rn_attention_cache_combine(const rn_attention_cache *c, int blocks, const rn_real *partial,
                                rn_real *o) {
  const int K = c->width;
  const int64_t each = rn_attention_cache_partial(c);
  rn_real top = partial[K], sum = 0;
  for (int i = 1; i < blocks; i++) {
    if (partial[i * each + K] > top) top = partial[i * each + K];
  }
  for (int e = 0; e < K; e++) o[e] = 0;
  for (int i = 0; i < blocks; i++) {
    const rn_real *from = partial + i * each;
    const rn_real factor = (rn_real)exp((double)(from[K] - top));
    sum += factor * from[K + 1];
    for (int e = 0; e < K; e++) o[e] += factor * from[e];
  }
  for (int e = 0; e < K; e++) o[e] /= sum;
}
