/** Declares what forward and backward share: functions that divide a sequence into blocks, and
 * functions that copy rows. */
#ifndef RN_MODEL_ATTENTION_ATTENTION_BLOCK_H
#define RN_MODEL_ATTENTION_ATTENTION_BLOCK_H

#include "model/attention/attention.h"
#include "model/kernel/kernels.h"
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

/** Returns the keys of a block of keys that at least one query of a block of queries sees. The
 * first key is rounded down to a multiple of 64, which limits the number of different sizes: a
 * backend may generate code for each size. begin >= end if there are none. */
static inline rn_range rn_attention_seen(const rn_attention_head *h, rn_range queries,
                                         rn_range keys) {
  enum { STEP = 64 };
  const int64_t first = rn_attention_first_key(h, queries.begin) / STEP * STEP;
  return (rn_range){first > keys.begin ? first : keys.begin, rn_smaller(queries.end, keys.end)};
}

/** Returns the range of `keys` that query n sees, counted from keys.begin; begin = end if there are
 * none. */
static inline rn_columns rn_attention_row(const rn_attention_head *h, int64_t n, rn_range keys) {
  const int64_t first = rn_attention_first_key(h, n);
  const int64_t begin = first > keys.begin ? first : keys.begin, end = rn_smaller(n + 1, keys.end);
  if (begin >= end) return (rn_columns){0, 0};
  return (rn_columns){(int)(begin - keys.begin), (int)(end - keys.begin)};
}

/** Returns the head's columns of q, or of an array of the same shape, from the query at position n
 * on. */
static inline rn_array rn_attention_query_at(const rn_attention_head *h, rn_matrix x, int64_t n) {
  return rn_matrix_from(x, rn_attention_query_row(h, n), (int64_t)h->head * h->a->width).x;
}

/** Returns the head's columns of k or v from the key at position m on. */
static inline rn_array rn_attention_key_at(const rn_attention_head *h, rn_matrix x, int64_t m) {
  return rn_matrix_from(x, rn_attention_key_row(h, m), (int64_t)h->kv_head * h->a->width).x;
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

/** Returns true if bf16 operands are multiplied by the kernel pair_product, and false if they are
 * multiplied by the GEMM backend: the kernel set has no bf16 instructions, or the backend has
 * faster ones. */
bool rn_attention_multiplies_pairs(void);

/** Does the same as rn_attention_transpose for pairs of columns: x [rows, 2 pairs] has the row
 * stride ldx; `to` [pairs, ld]. */
void rn_attention_transpose_pairs(int rows, int pairs, rn_array x, int64_t ldx, rn_bf16_pair *to,
                                  int ld);
/** Writes rows 2 i and 2 i + 1 of x [rows, cols], whose row stride is ldx, to row i of `to` [..,
 * cols] as pairs. If the number of rows is odd, the last row is paired with 0. */
void rn_attention_pair_rows(int rows, int cols, rn_array x, int64_t ldx, rn_bf16_pair *to);

/** The online softmax of a block of queries after all keys have been processed. o [queries, K] is
 * the sum of exp(score - top) * v; rn_attention_store overwrites it. */
typedef struct rn_softmax_rows {
  const rn_real *top, *sum;
  rn_real *o;
} rn_softmax_rows;

/** Stores o and lse of a block of queries. */
void rn_attention_store(const rn_attention_head *h, rn_range queries, const rn_softmax_rows *rows,
                        rn_matrix o, rn_real *lse);

/** Computes o and lse of one block of queries from q, k and v in bf16. */
void rn_attention_attend_bf16(const rn_attention_head *h, int64_t block, rn_matrix o, rn_real *lse);

#endif
