#include "model/attention/attention.h"

#include <math.h>
#include <string.h>

#include "model/attention/attention_block.h"
#include "model/kernel/kernels.h"
#include "proto/base/span.h"

enum { QUERIES = RN_ATTENTION_QUERIES, KEYS = RN_ATTENTION_KEYS };

/* A block of queries is processed in groups, whose scores stay in the first-level cache. */
enum { GROUP = 32, GROUPS = QUERIES / GROUP };

_Static_assert((int)GROUP <= (int)RN_SCORE_QUERIES,
               "a block of scores has room for all queries of a group");

/* The queries of a group, the running maximum (`top`) and sum of their online softmax, and their
 * output. Column i of q and of o belongs to query i. */
typedef struct query_group {
  rn_range queries;
  void *q;    /* [K, GROUP], or in bf16 pairs of channels [K / 2, GROUP] */
  rn_real *o; /* [K, GROUP]: unnormalized output, the sum of exp(score - top) * v */
  rn_real top[GROUP], sum[GROUP];
} query_group;

/* A block of queries, and scratch memory for one block of keys. */
typedef struct query_block {
  const rn_attention_head *h;
  bool bf16;
  int groups;
  query_group group[GROUPS];
  rn_real *scores; /* [KEYS, GROUP] */
  rn_real *rows;   /* [GROUP, K]: a copy of queries or outputs */
  void *values;    /* [KEYS, K], or in bf16 pairs of keys [KEYS / 2, K] */
  rn_bf16_pair *p; /* [KEYS / 2, GROUP]: in bf16, exponentials of pairs of keys */
} query_block;

/* Lists which queries of the group see each key. */
static void list_seen(const rn_attention_head *h, rn_range queries, rn_range keys,
                      rn_columns *seen_by) {
  const int count = (int)rn_range_count(queries);
  int end = 0; /* the first `end` queries of the group are those whose first visible key is <= m */
  for (int64_t m = keys.begin; m < keys.end; m++) {
    while (end < count && rn_attention_first_key(h, queries.begin + end) <= m) end++;
    const int64_t causal = m > queries.begin ? m - queries.begin : 0;
    seen_by[m - keys.begin] = (rn_columns){(int)rn_smaller(causal, end), end};
  }
}

/* ---- products ---- */

/* Computes the scores of a group with the keys `seen`. */
static void multiply_keys(const query_block *x, const query_group *g, rn_range seen) {
  const int K = x->h->a->width, m = (int)rn_range_count(seen), n = (int)rn_range_count(g->queries);
  const rn_matrix k = x->h->view->k;
  const rn_array first = rn_attention_key_at(x->h, k, seen.begin);
  if (x->bf16) {
    rn_kernels_table()->pair_product(&(rn_pair_product){.m = m,
                                                        .n = n,
                                                        .pairs = K / 2,
                                                        .a = {rn_array_bf16s(first), k.ld, 2},
                                                        .b = g->q,
                                                        .ldb = GROUP,
                                                        .c = x->scores,
                                                        .ldc = GROUP});
    return;
  }
  rn_kernels_table()->cached_product(&(rn_cached_product){.m = m,
                                                          .n = n,
                                                          .k = K,
                                                          .a = {rn_array_reals(first), k.ld, 1},
                                                          .b = g->q,
                                                          .ldb = GROUP,
                                                          .c = x->scores,
                                                          .ldc = GROUP});
}

/* Computes o += P v for a group and the keys `seen` of the block `keys`. */
static void add_values(const query_block *x, const query_group *g, rn_range keys, rn_range seen) {
  const int K = x->h->a->width, k = (int)rn_range_count(seen), n = (int)rn_range_count(g->queries);
  const int64_t from = (seen.begin - keys.begin) * K;
  if (x->bf16) {
    rn_kernels_table()->pair_product(
        &(rn_pair_product){.m = K,
                           .n = n,
                           .pairs = (k + 1) / 2,
                           .a = {(rn_bf16 *)x->values + from, 2, 2 * K},
                           .b = x->p,
                           .ldb = GROUP,
                           .add = true,
                           .c = g->o,
                           .ldc = GROUP});
    return;
  }
  rn_kernels_table()->cached_product(&(rn_cached_product){.m = K,
                                                          .n = n,
                                                          .k = k,
                                                          .a = {(rn_real *)x->values + from, 1, K},
                                                          .b = x->scores,
                                                          .ldb = GROUP,
                                                          .add = true,
                                                          .c = g->o,
                                                          .ldc = GROUP});
}

/* ---- blocks ---- */

/* Updates the online softmax and the output of a group with the keys `seen`. */
static void add_keys(const query_block *x, query_group *g, rn_range keys, rn_range seen) {
  rn_columns seen_by[KEYS];
  rn_real fade[GROUP];
  const rn_score_block scores = {(int)rn_range_count(seen),
                                 (int)rn_range_count(g->queries),
                                 rn_attention_scale(x->h->a),
                                 seen_by,
                                 x->scores,
                                 x->bf16 ? x->p : NULL,
                                 GROUP};
  list_seen(x->h, g->queries, seen, seen_by);
  multiply_keys(x, g, seen);
  rn_kernels_table()->softmax_block(&scores, g->top, g->sum, fade);
  rn_kernels_table()->scale_columns(x->h->a->width, scores.queries, fade, g->o, GROUP);
  add_values(x, g, keys, seen);
}

/* Loads a block of values, and adds the block of keys and values to each group. */
static void add_block(query_block *x, rn_range keys) {
  const rn_attention_view *view = x->h->view;
  if (x->bf16) {
    rn_attention_pair_rows((int)rn_range_count(keys), x->h->a->width,
                           rn_attention_key_at(x->h, view->v, keys.begin), view->v.ld, x->values);
  } else {
    rn_attention_load_keys(x->h, view->v, keys, x->values);
  }
  for (int i = 0; i < x->groups; i++) {
    const rn_range seen = rn_attention_seen(x->h, x->group[i].queries, keys);
    if (seen.begin < seen.end) add_keys(x, &x->group[i], keys, seen);
  }
}

/* Transposes the queries of a group, and clears its output. */
static void begin_group(query_block *x, query_group *g) {
  const int K = x->h->a->width, count = (int)rn_range_count(g->queries);
  const rn_matrix q = x->h->view->q;
  if (x->bf16) {
    const rn_array at = rn_attention_query_at(x->h, q, g->queries.begin);
    rn_attention_transpose_pairs(count, K / 2, at, q.ld, g->q, GROUP);
  } else {
    rn_attention_load_queries(x->h, q, g->queries, x->rows);
    rn_attention_transpose(count, K, x->rows, g->q, GROUP);
  }
  for (int i = 0; i < GROUP; i++) {
    g->top[i] = -(rn_real)INFINITY;
    g->sum[i] = 0;
  }
  memset(g->o, 0, (size_t)GROUP * (size_t)K * sizeof *g->o);
}

/* Cuts a block of queries into groups. Each boundary between groups is at a position that is a
 * multiple of GROUP. */
static void cut_into_groups(query_block *x, rn_range queries, rn_real *memory) {
  const int K = x->h->a->width;
  int64_t end;
  for (int64_t begin = queries.begin; begin < queries.end; begin = end) {
    query_group *g = &x->group[x->groups++];
    end = rn_smaller(begin / GROUP * GROUP + GROUP, queries.end);
    g->queries = (rn_range){begin, end};
    g->q = memory;
    g->o = memory + GROUP * K;
    memory += 2 * GROUP * K;
    begin_group(x, g);
  }
}

/* Computes o and lse of one block of queries. */
static void attend(const rn_attention_head *h, int64_t block, rn_matrix o, rn_real *lse) {
  const int K = h->a->width;
  const rn_range queries = rn_attention_queries(h->view, block);
  query_block x = {.h = h, .bf16 = h->view->q.x.bf16, .scores = rn_attention_scratch(h->a)};
  x.rows = x.scores + KEYS * GROUP;
  rn_real *values = x.rows + GROUP * K, *p = values + KEYS * K;
  x.values = values;
  x.p = (rn_bf16_pair *)p;
  cut_into_groups(&x, queries, p + KEYS * GROUP);
  for (int64_t j = rn_attention_first_block(h, queries); j * KEYS < queries.end; j++) {
    add_block(&x, rn_attention_seen(h, queries, rn_attention_keys(h->view, j)));
  }
  for (int i = 0; i < x.groups; i++) {
    query_group *g = &x.group[i];
    rn_attention_transpose(K, GROUP, g->o, x.rows, K);
    rn_attention_store(h, g->queries, &(rn_softmax_rows){g->top, g->sum, x.rows}, o, lse);
  }
}

void rn_attention_forward(const rn_attention *a, const rn_attention_view *view, rn_matrix o,
                          rn_real *lse) {
  const rn_range blocks = rn_attention_query_blocks(view);
  const int64_t heads = (int64_t)view->sequences * a->heads;
  const bool by_backend = view->q.x.bf16 && !rn_attention_multiplies_pairs();
  /* The last blocks of queries see the most keys, so their tasks begin first. */
#pragma omp parallel for schedule(dynamic) num_threads(a->threads)
  for (int64_t task = 0; task < heads * rn_range_count(blocks); task++) {
    const int sequence = (int)(task % heads / a->heads), head = (int)(task % a->heads);
    const rn_attention_head h = {a, view, sequence, head, head / (a->heads / a->kv_heads)};
    const double begin_s = rn_span_task_begin();
    (by_backend ? rn_attention_attend_bf16 : attend)(&h, blocks.end - 1 - task / heads, o, lse);
    rn_span_task_end(begin_s);
  }
}
