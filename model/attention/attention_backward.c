#include <string.h>

#include "model/attention/attention.h"
#include "model/attention/attention_block.h"
#include "model/kernel/kernels.h"
#include "proto/base/span.h"

enum { BLOCK = RN_ATTENTION_BLOCK };

/* The arguments of backward that are the same for all heads. */
typedef struct backward {
  const rn_real *o, *lse;
  rn_real *delta;
  const rn_attention_grads *grads;
  int64_t ldo; /* row stride of o, d_o and dq */
} backward;

/* Recomputes P and dS of a pair of blocks; entries that are not visible become 0. */
static void recompute(const rn_attention_head *h, const backward *x, rn_range queries,
                      rn_range keys, rn_real *p, rn_real *ds) {
  const rn_kernels *kernels = rn_kernels_table();
  const int count = (int)rn_range_count(keys);
  rn_attention_scores(h, queries, keys, p);
  rn_gemm_backend_in_use()->nt((int)rn_range_count(queries), count, h->a->width, 1,
                               x->grads->d_o + rn_attention_query_at(h, queries.begin, x->ldo),
                               x->ldo, h->view->v + rn_attention_key_at(h, keys.begin),
                               h->view->ldkv, 0, ds, BLOCK);
  for (int64_t n = queries.begin; n < queries.end; n++) {
    const int64_t at = (n - queries.begin) * BLOCK;
    const int64_t row = (h->first + n) * h->a->heads + h->head;
    const rn_range seen = rn_attention_visible(h, n, keys);
    int begin = (int)(seen.begin - keys.begin), end = (int)(seen.end - keys.begin);
    if (begin >= end) begin = end = 0;
    kernels->softmax_backward(end - begin, x->lse[row], x->delta[row], p + at + begin,
                              ds + at + begin);
    memset(p + at, 0, (size_t)begin * sizeof *p);
    memset(ds + at, 0, (size_t)begin * sizeof *ds);
    memset(p + at + end, 0, (size_t)(count - end) * sizeof *p);
    memset(ds + at + end, 0, (size_t)(count - end) * sizeof *ds);
  }
}

/* Computes delta and dq of one block of queries. */
static void query_gradient(const rn_attention_head *h, const backward *x, int block) {
  const int K = h->a->width;
  const rn_range queries = rn_attention_block(h, block);
  rn_real *p = rn_attention_scratch(h->a), *ds = p + BLOCK * BLOCK;
  for (int64_t n = queries.begin; n < queries.end; n++) {
    const int64_t at = rn_attention_query_at(h, n, x->ldo);
    double sum = 0;
    for (int e = 0; e < K; e++) sum += (double)x->grads->d_o[at + e] * (double)x->o[at + e];
    x->delta[(h->first + n) * h->a->heads + h->head] = (rn_real)sum;
  }
  const int first = (int)(rn_attention_first_key(h, queries.begin) / BLOCK);
  for (int j = first; j <= block; j++) {
    const rn_range keys = rn_attention_block(h, j);
    recompute(h, x, queries, keys, p, ds);
    rn_gemm_backend_in_use()->nn(
        (int)rn_range_count(queries), K, (int)rn_range_count(keys), rn_attention_scale(h->a), ds,
        BLOCK, h->view->k + rn_attention_key_at(h, keys.begin), h->view->ldkv, j > first ? 1 : 0,
        x->grads->dq + rn_attention_query_at(h, queries.begin, x->ldo), x->ldo);
  }
}

/* Adds the contribution of one block of queries of one head to dk and dv of a block of keys. */
static void add_queries(const rn_attention_head *h, const backward *x, rn_range queries,
                        rn_range keys, bool first) {
  const rn_attention_view *u = h->view;
  const int K = h->a->width, m = (int)rn_range_count(keys), n = (int)rn_range_count(queries);
  const int64_t at = rn_attention_key_at(h, keys.begin);
  const rn_gemm_backend *gemm = rn_gemm_backend_in_use();
  rn_real *p = rn_attention_scratch(h->a), *ds = p + BLOCK * BLOCK;
  recompute(h, x, queries, keys, p, ds);
  gemm->tn(m, K, n, rn_attention_scale(h->a), ds, BLOCK,
           u->q + rn_attention_query_at(h, queries.begin, u->ldq), u->ldq, first ? 0 : 1,
           x->grads->dk + at, u->ldkv);
  gemm->tn(m, K, n, 1, p, BLOCK, x->grads->d_o + rn_attention_query_at(h, queries.begin, x->ldo),
           x->ldo, first ? 0 : 1, x->grads->dv + at, u->ldkv);
}

/* Computes dk and dv of one block of keys. Because lo(n) never decreases, the loop over blocks of
 * queries ends at the first block whose first row sees none of these keys. */
static void key_gradient(rn_attention_head h, const backward *x, int block) {
  const int group = h.a->heads / h.a->kv_heads, blocks = rn_attention_blocks(h.view->tokens);
  const rn_range keys = rn_attention_block(&h, block);
  int last = block;
  while (last + 1 < blocks &&
         rn_attention_first_key(&h, rn_attention_block(&h, last + 1).begin) < keys.end) {
    last++;
  }
  for (int i = last; i >= block; i--) {
    for (int member = 0; member < group; member++) {
      h.head = h.kv_head * group + member;
      add_queries(&h, x, rn_attention_block(&h, i), keys, i == last && member == 0);
    }
  }
}

void rn_attention_backward(const rn_attention *a, const rn_attention_view *view, const rn_real *o,
                           const rn_real *lse, rn_real *delta, const rn_attention_grads *grads) {
  const backward x = {o, lse, delta, grads, (int64_t)a->heads * a->width};
  const int blocks = rn_attention_blocks(view->tokens);
  const int64_t heads = (int64_t)view->sequences * a->heads;
  const int64_t kv_heads = (int64_t)view->sequences * a->kv_heads;
  /* The second loop reads the delta of all queries, so the implicit barrier between the loops is
   * needed. In both loops, the tasks with the most blocks begin first. */
#pragma omp parallel num_threads(a->threads)
  {
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < heads * blocks; task++) {
      const int head = (int)(task % heads % a->heads);
      const rn_attention_head h = {a, view, task % heads / a->heads * view->tokens, head,
                                   head / (a->heads / a->kv_heads)};
      const double begin_s = rn_span_task_begin();
      query_gradient(&h, &x, blocks - 1 - (int)(task / heads));
      rn_span_task_end(begin_s);
    }
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < kv_heads * blocks; task++) {
      const int kv_head = (int)(task % kv_heads % a->kv_heads);
      const rn_attention_head h = {a, view, task % kv_heads / a->kv_heads * view->tokens, 0,
                                   kv_head};
      const double begin_s = rn_span_task_begin();
      key_gradient(h, &x, (int)(task / kv_heads));
      rn_span_task_end(begin_s);
    }
  }
}
