/** Declares what forward and backward share: the division into blocks, and the copies of rows. */
#ifndef RN_MODEL_ATTENTION_ATTENTION_BLOCK_H
#define RN_MODEL_ATTENTION_ATTENTION_BLOCK_H

#include "model/attention/attention.h"
#include "proto/base/range.h"

/** The sequence and the head on which a task works. Positions are counted from the first key of the
 * sequence. */
typedef struct rn_attention_head {
  const rn_attention *a;
  const rn_attention_view *view;
  int sequence, head, kv_head;
} rn_attention_head;

/** Returns the number of keys of a sequence. */
static inline int rn_attention_key_count(const rn_attention_view *view) {
  return view->before + view->tokens;
}

/** Returns the number of blocks of keys of a sequence. */
static inline int rn_attention_key_blocks(const rn_attention_view *view) {
  return (rn_attention_key_count(view) + RN_ATTENTION_KEYS - 1) / RN_ATTENTION_KEYS;
}

/** Returns the range of the blocks of queries of a sequence. */
static inline rn_range rn_attention_query_blocks(const rn_attention_view *view) {
  const int end = rn_attention_key_count(view);
  return (rn_range){view->before / RN_ATTENTION_QUERIES,
                    (end + RN_ATTENTION_QUERIES - 1) / RN_ATTENTION_QUERIES};
}

/** Returns the positions of a block of queries. */
static inline rn_range rn_attention_queries(const rn_attention_view *view, int64_t block) {
  const int64_t begin = block * RN_ATTENTION_QUERIES;
  return (rn_range){begin > view->before ? begin : view->before,
                    rn_smaller(begin + RN_ATTENTION_QUERIES, rn_attention_key_count(view))};
}

/** Returns the positions of a block of keys. */
static inline rn_range rn_attention_keys(const rn_attention_view *view, int64_t block) {
  const int64_t begin = block * RN_ATTENTION_KEYS;
  return (rn_range){begin, rn_smaller(begin + RN_ATTENTION_KEYS, rn_attention_key_count(view))};
}

/** Returns the row of the query at position n. */
static inline int64_t rn_attention_query_row(const rn_attention_head *h, int64_t n) {
  return (int64_t)h->sequence * h->view->tokens + n - h->view->before;
}

/** Returns the row of the key at position m. */
static inline int64_t rn_attention_key_row(const rn_attention_head *h, int64_t m) {
  const int64_t stride = h->view->key_stride;
  return h->sequence * (stride > 0 ? stride : rn_attention_key_count(h->view)) + m;
}

/** Returns lo(n), the first key that query n sees. lo(n) never decreases as n grows. */
static inline int64_t rn_attention_first_key(const rn_attention_head *h, int64_t n) {
  const int64_t of_document = n - h->view->doc_position[rn_attention_query_row(h, n)];
  const int64_t of_window = h->a->window > 0 ? n - h->a->window + 1 : 0;
  const int64_t first = of_document > of_window ? of_document : of_window;
  return first > 0 ? first : 0;
}

/** Returns the keys of a block of keys that at least one query of a block of queries sees; begin >=
 * end if there are none. */
static inline rn_range rn_attention_seen(const rn_attention_head *h, rn_range queries,
                                         rn_range keys) {
  const int64_t first = rn_attention_first_key(h, queries.begin);
  return (rn_range){first > keys.begin ? first : keys.begin, rn_smaller(queries.end, keys.end)};
}

/** Returns the first block of keys that a block of queries sees. */
static inline int64_t rn_attention_first_block(const rn_attention_head *h, rn_range queries) {
  return rn_attention_first_key(h, queries.begin) / RN_ATTENTION_KEYS;
}

/** Returns 1 / sqrt(K). */
rn_real rn_attention_scale(const rn_attention *a);

/** Returns the calling thread's scratch memory. */
rn_real *rn_attention_scratch(const rn_attention *a);

/** Copies the head's columns of the rows `queries` of x to `to` [queries, K]; x is q or an array of
 * the same shape. */
void rn_attention_load_queries(const rn_attention_head *h, rn_matrix x, rn_range queries,
                               rn_real *to);
/** Does the same as rn_attention_load_queries for the rows `keys` of k or v. */
void rn_attention_load_keys(const rn_attention_head *h, rn_matrix x, rn_range keys, rn_real *to);

/** Writes the transpose of x [rows, cols] to `to` [cols, ld]. */
void rn_attention_transpose(int rows, int cols, const rn_real *x, rn_real *to, int ld);

#endif
