/* Computes forward with operands in bf16. The backend's products read q, k and v in place, and P
 * rounded to bf16. Scores, softmax and o are in rn_real. */
#include <math.h>
#include <string.h>

#include "model/attention/attention_block.h"
#include "model/kernel/gemm.h"
#include "model/ops/load_row.h"

enum { QUERIES = RN_ATTENTION_QUERIES, KEYS = RN_ATTENTION_KEYS };

/* A block of queries, and the running values of its online softmax. */
typedef struct query_block {
  const rn_attention_head *h;
  rn_range queries;
  rn_real *scores; /* [QUERIES, KEYS] */
  rn_real *o;      /* [QUERIES, K]: unnormalized output, the sum of exp(score - top) * v */
  rn_array p;      /* [QUERIES, KEYS] */
  rn_real top[QUERIES], sum[QUERIES];
} query_block;

/* Computes P of one query from the scores, in bf16, and updates the online softmax and o of the
 * query. */
static void add_row(query_block *x, int64_t n, rn_range keys) {
  const rn_kernels *kernels = rn_kernels_table();
  const int K = x->h->a->width, row = (int)(n - x->queries.begin);
  const rn_columns seen = rn_attention_row(x->h, n, keys);
  rn_bf16 *p = rn_array_bf16s(x->p) + (int64_t)row * KEYS;
  memset(p, 0, (size_t)rn_range_count(keys) * sizeof *p);
  if (seen.begin == seen.end) return;
  const rn_real fade = kernels->softmax_round(seen.end - seen.begin, rn_attention_scale(x->h->a),
                                              x->scores + (int64_t)row * KEYS + seen.begin,
                                              &x->top[row], &x->sum[row], p + seen.begin);
  for (int e = 0; e < K; e++) x->o[row * K + e] *= fade;
}

/* Updates the online softmax with one block of keys. */
static void add_keys(query_block *x, rn_range keys) {
  const rn_attention_view *view = x->h->view;
  const int K = x->h->a->width, queries = (int)rn_range_count(x->queries);
  const int count = (int)rn_range_count(keys);
  const rn_array q = rn_attention_query_at(x->h, view->q, x->queries.begin);
  const rn_array k = rn_attention_key_at(x->h, view->k, keys.begin);
  const rn_array v = rn_attention_key_at(x->h, view->v, keys.begin);
  rn_gemm(RN_GEMM_NT, queries, count, K, q, view->q.ld, k, view->k.ld, 0, rn_reals(x->scores),
          KEYS);
  for (int64_t n = x->queries.begin; n < x->queries.end; n++) add_row(x, n, keys);
  rn_gemm(RN_GEMM_NN, queries, K, count, x->p, KEYS, v, view->v.ld, 1, rn_reals(x->o), K);
}

void rn_attention_attend_bf16(const rn_attention_head *h, int64_t block, rn_matrix o,
                              rn_real *lse) {
  const int K = h->a->width;
  query_block x = {.h = h, .queries = rn_attention_queries(h->view, block)};
  x.scores = rn_attention_scratch(h->a);
  x.p = (rn_array){x.scores + QUERIES * KEYS, true};
  x.o = x.scores + 2 * QUERIES * KEYS;
  for (int i = 0; i < QUERIES; i++) x.top[i] = -(rn_real)INFINITY;
  memset(x.o, 0, (size_t)QUERIES * (size_t)K * sizeof *x.o);
  for (int64_t j = rn_attention_first_block(h, x.queries); j * KEYS < x.queries.end; j++) {
    add_keys(&x, rn_attention_seen(h, x.queries, rn_attention_keys(h->view, j)));
  }
  rn_attention_store(h, x.queries, &(rn_softmax_rows){x.top, x.sum, x.o}, o, lse);
}
