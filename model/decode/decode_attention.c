/*
 * Computes the attention block of a step. A task is one key head of one row and one block of the
 * row's cache. The task whose block contains the new token first stores the token's key and value.
 * No other task reads this block, so no barrier is needed after storing.
 */
#include <omp.h>
#include <string.h>

#include "model/decode/decode_step.h"
#include "proto/base/range.h"

/* Returns the number of columns of k and v together. */
static int pair_of(const rn_decoder *d) {
  return 2 * d->cache.kv_heads * d->cache.width;
}

rn_weight rn_decode_attention_in(const rn_decode_step *s) {
  return (rn_weight){s->at->k, pair_of(s->d) + s->d->spec.dim, s->d->spec.dim};
}

static rn_weight weight_out(const rn_decode_step *s) {
  return (rn_weight){s->at->out, s->d->spec.dim, s->d->spec.dim};
}

/* Returns the address of the results of block 0 for one head of one row; the results of the next
 * blocks follow. */
static rn_real *partial_of(const rn_decoder *d, int row, int head) {
  return d->partial + ((int64_t)row * d->cache.heads + head) * d->cache.blocks *
                          rn_attention_cache_partial(&d->cache);
}

/* Returns the number of tokens that a row sees, including its own token. */
static int64_t tokens_seen(const rn_decode_step *s, int row) {
  const int64_t next = s->d->position[s->slot[row]] + 1;
  return rn_range_count(rn_attention_cache_held(&s->d->cache, next));
}

static void rotate(const rn_decode_step *s, int row, int heads, rn_real *x) {
  const rn_decoder *d = s->d;
  const int64_t at = (int64_t)row * (d->cache.width / 2);
  s->kernels->rotate(RN_ROTARY_ROPE_HALF, heads, d->cache.width, d->rope_cosine + at,
                     d->rope_sine + at, 1, 1, x);
}

/* Stores the key and the value of a row's token. */
static void put_token(const rn_decode_step *s, int row, rn_cache_head at) {
  const rn_decoder *d = s->d;
  const int K = d->cache.width;
  rn_real *key = d->kvqg + (int64_t)row * d->kvqg_width + at.kv_head * K;
  rotate(s, row, 1, key);
  rn_attention_cache_put(at, d->position[at.slot], key, key + d->cache.kv_heads * K);
}

static void attend(const rn_decode_step *s, int row, int kv_head, int block) {
  const rn_decoder *d = s->d;
  const rn_attention_cache *c = &d->cache;
  const int group = c->heads / c->kv_heads, queries = group * c->width;
  const int64_t newest = d->position[s->slot[row]] % c->capacity;
  const rn_cache_head at = {c, s->attending, s->slot[row], kv_head};
  rn_real *q = d->attention_scratch + omp_get_thread_num() * rn_decoder_attention_scratch(d);
  const rn_real *from = d->kvqg + (int64_t)row * d->kvqg_width + pair_of(d) + kv_head * queries;
  memcpy(q, from, (size_t)queries * sizeof *q);
  rotate(s, row, group, q);
  if (newest / c->block == block) put_token(s, row, at);
  rn_attention_cache_attend(
      at, block, tokens_seen(s, row), q, q + queries,
      partial_of(d, row, kv_head * group) + (int64_t)block * rn_attention_cache_partial(c),
      (int64_t)c->blocks * rn_attention_cache_partial(c));
}

/* Runs this thread's share of the tasks. The number of tasks of a row is the number of key heads
 * times the row's number of blocks. */
static void attend_own(const rn_decode_step *s) {
  const rn_attention_cache *c = &s->d->cache;
  int64_t tasks = 0, first = 0;
  for (int r = 0; r < s->count; r++) tasks += rn_attention_cache_used(c, tokens_seen(s, r));
  const rn_range own = rn_cut(tasks * c->kv_heads, omp_get_num_threads(), omp_get_thread_num());
  for (int r = 0; r < s->count; r++) {
    const int blocks = rn_attention_cache_used(c, tokens_seen(s, r));
    const int64_t end = first + (int64_t)blocks * c->kv_heads;
    const int64_t from = own.begin > first ? own.begin : first;
    for (int64_t i = from; i < rn_smaller(own.end, end); i++) {
      attend(s, r, (int)((i - first) / blocks), (int)((i - first) % blocks));
    }
    first = end;
  }
}

static void combine_own(const rn_decode_step *s) {
  const rn_attention_cache *c = &s->d->cache;
  const rn_range own =
      rn_cut((int64_t)s->count * c->heads, omp_get_num_threads(), omp_get_thread_num());
  for (int64_t i = own.begin; i < own.end; i++) {
    const int row = (int)(i / c->heads), head = (int)(i % c->heads);
    const int blocks = rn_attention_cache_used(c, tokens_seen(s, row));
    rn_attention_cache_combine(c, blocks, partial_of(s->d, row, head),
                               s->d->gated + (int64_t)row * s->d->spec.dim + head * c->width);
  }
}

void rn_decode_attention_block(const rn_decode_step *s) {
  rn_decoder *d = s->d;
  rn_decode_project(s, rn_decode_attention_in(s), s->in, d->kvqg, d->kvqg_width);
  rn_thread_barrier_wait(&d->barrier, NULL, 0);
  attend_own(s);
  rn_thread_barrier_wait(&d->barrier, NULL, 0);
  combine_own(s);
  rn_decode_barrier_before(s, weight_out(s));
  rn_decode_add_to_stream(s, weight_out(s), d->gated);
}
