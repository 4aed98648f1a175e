/** Gives forward and backward access to the blocks of queries and keys. */
#ifndef RN_MODEL_ATTENTION_ATTENTION_BLOCK_H
#define RN_MODEL_ATTENTION_ATTENTION_BLOCK_H

#include "model/attention/attention.h"
#include "model/kernel/gemm.h"
#include "proto/base/range.h"

/** The sequence and the head that a task computes. In the functions below, rows and positions are
 * counted from the start of this sequence. */
typedef struct rn_attention_head {
  const rn_attention *a;
  const rn_attention_view *view;
  int64_t first; /* first row of the sequence */
  int head, kv_head;
} rn_attention_head;

/** Returns the number of blocks of a sequence. */
static inline int rn_attention_blocks(int tokens) {
  return (tokens + RN_ATTENTION_BLOCK - 1) / RN_ATTENTION_BLOCK;
}

/** Returns the range of positions in a block. */
static inline rn_range rn_attention_block(const rn_attention_head *h, int block) {
  const int64_t begin = (int64_t)block * RN_ATTENTION_BLOCK;
  return (rn_range){begin, rn_smaller(begin + RN_ATTENTION_BLOCK, h->view->tokens)};
}

/** Returns lo(n), the first key that query n sees. lo(n) never decreases as n grows. */
static inline int64_t rn_attention_first_key(const rn_attention_head *h, int64_t n) {
  const int64_t of_document = n - h->view->doc_position[h->first + n];
  const int64_t of_window = h->a->window > 0 ? n - h->a->window + 1 : 0;
  const int64_t first = of_document > of_window ? of_document : of_window;
  return first > 0 ? first : 0;
}

/** Returns the keys of a block that query n sees; begin >= end if there are none. */
static inline rn_range rn_attention_visible(const rn_attention_head *h, int64_t n, rn_range keys) {
  const int64_t first = rn_attention_first_key(h, n);
  return (rn_range){first > keys.begin ? first : keys.begin, rn_smaller(n + 1, keys.end)};
}

/** Returns the offset of the head's row n in q, or in an array of the same shape with row stride
 * ld. */
static inline int64_t rn_attention_query_at(const rn_attention_head *h, int64_t n, int64_t ld) {
  return (h->first + n) * ld + (int64_t)h->head * h->a->width;
}

/** Returns the offset of the key head's row n in k and v. */
static inline int64_t rn_attention_key_at(const rn_attention_head *h, int64_t n) {
  return (h->first + n) * h->view->ldkv + (int64_t)h->kv_head * h->a->width;
}

/** Computes scores s [queries, keys] = q k^T / sqrt(K), row stride RN_ATTENTION_BLOCK. */
void rn_attention_scores(const rn_attention_head *h, rn_range queries, rn_range keys, rn_real *s);

/** Returns 1 / sqrt(K). */
rn_real rn_attention_scale(const rn_attention *a);

/** Returns the calling thread's scratch memory: two arrays [RN_ATTENTION_BLOCK,
 * RN_ATTENTION_BLOCK], then one [RN_ATTENTION_BLOCK, K]. */
rn_real *rn_attention_scratch(const rn_attention *a);

#endif
