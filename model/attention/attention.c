#include "model/attention/attention.h"

#include <math.h>
#include <string.h>

#include "model/attention/attention_block.h"
#include "model/kernel/kernels.h"
#include "proto/base/span.h"

enum { QUERIES = RN_ATTENTION_QUERIES, KEYS = RN_ATTENTION_KEYS };

_Static_assert((int)QUERIES <= (int)RN_SCORE_QUERIES,
               "a block of scores has all queries of a block");

/* A block of queries, its online softmax, and scratch memory. In q, o and scores, each column
 * belongs to one query. */
typedef struct query_block {
  const rn_attention_head *h;
  rn_range queries;
  rn_real *q, *o;  /* [K, QUERIES]; o: unnormalized output, the sum of exp(score - top) * v */
  rn_real *scores; /* [KEYS, QUERIES] */
  rn_real *keys, *values; /* [KEYS, K] */
  rn_real top[QUERIES], sum[QUERIES];
} query_block;

/* Lists which queries of the block see each key. */
static void list_seen(const query_block *x, rn_range keys, rn_columns *seen_by) {
  const int count = (int)rn_range_count(x->queries);
  int end = 0; /* queries 0 .. end-1 of the block have lo(n) <= m */
  for (int64_t m = keys.begin; m < keys.end; m++) {
    while (end < count && rn_attention_first_key(x->h, x->queries.begin + end) <= m) end++;
    const int64_t causal = m > x->queries.begin ? m - x->queries.begin : 0;
    seen_by[m - keys.begin] = (rn_columns){(int)rn_smaller(causal, end), end};
  }
}

/* Updates the online softmax with one block of keys. */
static void add_keys(query_block *x, rn_range keys) {
  const rn_kernels *kernels = rn_kernels_table();
  const int K = x->h->a->width, queries = (int)rn_range_count(x->queries);
  const int count = (int)rn_range_count(keys);
  rn_columns seen_by[KEYS];
  rn_real fade[QUERIES];
  rn_attention_load_keys(x->h, x->h->view->k, keys, x->keys);
  rn_attention_load_keys(x->h, x->h->view->v, keys, x->values);
  list_seen(x, keys, seen_by);
  kernels->cached_product(&(rn_cached_product){.m = count,
                                               .n = queries,
                                               .k = K,
                                               .a = {x->keys, K, 1},
                                               .b = x->q,
                                               .ldb = QUERIES,
                                               .c = x->scores,
                                               .ldc = QUERIES});
  const rn_score_block scores = {count,   queries,   rn_attention_scale(x->h->a),
                                 seen_by, x->scores, QUERIES};
  kernels->softmax_block(&scores, x->top, x->sum, fade);
  for (int e = 0; e < K; e++) {
    for (int n = 0; n < queries; n++) x->o[e * QUERIES + n] *= fade[n];
  }
  kernels->cached_product(&(rn_cached_product){.m = K,
                                               .n = queries,
                                               .k = count,
                                               .a = {x->values, 1, K},
                                               .b = x->scores,
                                               .ldb = QUERIES,
                                               .add = true,
                                               .c = x->o,
                                               .ldc = QUERIES});
}

/* Computes o and lse of one block of queries. */
static void attend(const rn_attention_head *h, int64_t block, rn_matrix o, rn_real *lse) {
  const int K = h->a->width;
  query_block x = {.h = h, .queries = rn_attention_queries(h->view, block)};
  x.scores = rn_attention_scratch(h->a);
  x.q = x.scores + QUERIES * KEYS;
  x.o = x.q + QUERIES * K;
  x.keys = x.o + QUERIES * K;
  x.values = x.keys + KEYS * K;
  for (int i = 0; i < QUERIES; i++) x.top[i] = -(rn_real)INFINITY;
  memset(x.o, 0, (size_t)QUERIES * (size_t)K * sizeof *x.o);
  rn_attention_load_queries(h, h->view->q, x.queries, x.keys);
  rn_attention_transpose((int)rn_range_count(x.queries), K, x.keys, x.q, QUERIES);
  for (int64_t j = rn_attention_first_block(h, x.queries); j * KEYS < x.queries.end; j++) {
    add_keys(&x, rn_attention_seen(h, x.queries, rn_attention_keys(h->view, j)));
  }
  rn_real *rows = x.keys;
  rn_attention_transpose(K, QUERIES, x.o, rows, K);
  rn_attention_store(h, x.queries, &(rn_softmax_rows){x.top, x.sum, rows}, o, lse);
}

void rn_attention_forward(const rn_attention *a, const rn_attention_view *view, rn_matrix o,
                          rn_real *lse) {
  const rn_range blocks = rn_attention_query_blocks(view);
  const int64_t heads = (int64_t)view->sequences * a->heads;
  /* The last blocks of queries see the most keys, so their tasks begin first. */
#pragma omp parallel for schedule(dynamic) num_threads(a->threads)
  for (int64_t task = 0; task < heads * rn_range_count(blocks); task++) {
    const int sequence = (int)(task % heads / a->heads), head = (int)(task % a->heads);
    const rn_attention_head h = {a, view, sequence, head, head / (a->heads / a->kv_heads)};
    const double begin_s = rn_span_task_begin();
    (view->q.x.bf16 ? rn_attention_attend_bf16 : attend)(&h, blocks.end - 1 - task / heads, o, lse);
    rn_span_task_end(begin_s);
  }
}
