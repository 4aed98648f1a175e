#include "model/attention/attention.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/attention/attention_block.h"
#include "model/base/threads.h"
#include "model/kernel/kernels.h"
#include "proto/base/arena.h"
#include "proto/base/span.h"

enum { BLOCK = RN_ATTENTION_BLOCK };

static int64_t scratch_elements(const rn_attention *a) {
  return (int64_t)BLOCK * (2 * BLOCK + a->width);
}

rn_attention rn_attention_shape(const rn_spec *spec) {
  return (rn_attention){.heads = spec->attention_heads,
                        .kv_heads = spec->kv_heads,
                        .width = rn_spec_attention_width(spec),
                        .window = spec->attention_window,
                        .threads = rn_threads()};
}

size_t rn_attention_bytes(const rn_attention *a) {
  return (size_t)a->threads * (size_t)scratch_elements(a) * sizeof(rn_real);
}

rn_status rn_attention_create(rn_err *err, const rn_spec *spec, rn_attention *out) {
  *out = rn_attention_shape(spec);
  return rn_alloc(err, "attention", rn_attention_bytes(out), 1, &out->scratch);
}

void rn_attention_destroy(rn_attention *attention) {
  free(attention->scratch);
  attention->scratch = NULL;
}

rn_real *rn_attention_scratch(const rn_attention *a) {
  return a->scratch + omp_get_thread_num() * scratch_elements(a);
}

rn_real rn_attention_scale(const rn_attention *a) {
  return (rn_real)(1 / sqrt((double)a->width));
}

void rn_attention_scores(const rn_attention_head *h, rn_range queries, rn_range keys, rn_real *s) {
  const rn_attention_view *u = h->view;
  rn_gemm_backend_in_use()->nt((int)rn_range_count(queries), (int)rn_range_count(keys), h->a->width,
                               rn_attention_scale(h->a),
                               u->q + rn_attention_query_at(h, queries.begin, u->ldq), u->ldq,
                               u->k + rn_attention_key_at(h, keys.begin), u->ldkv, 0, s, BLOCK);
}

/* Running values of the online softmax, for the rows of one block of queries. */
typedef struct softmax_rows {
  rn_real top[BLOCK], sum[BLOCK];
  rn_real *o; /* [rows, K]: unnormalized output, the sum of exp(score - top) v */
} softmax_rows;

/* Updates the online softmax with one block of keys. */
static void add_keys(const rn_attention_head *h, rn_range queries, rn_range keys, rn_real *s,
                     softmax_rows *x) {
  const rn_kernels *kernels = rn_kernels_table();
  const int K = h->a->width, count = (int)rn_range_count(keys);
  rn_attention_scores(h, queries, keys, s);
  for (int64_t n = queries.begin; n < queries.end; n++) {
    const int64_t row = n - queries.begin;
    const rn_range seen = rn_attention_visible(h, n, keys);
    rn_real *scores = s + row * BLOCK, *o = x->o + row * K;
    const int begin = (int)(seen.begin - keys.begin), end = (int)(seen.end - keys.begin);
    if (begin >= end) {
      memset(scores, 0, (size_t)count * sizeof *scores);
      continue;
    }
    const rn_real fade =
        kernels->softmax_add(end - begin, scores + begin, &x->top[row], &x->sum[row]);
    for (int e = 0; e < K; e++) o[e] *= fade;
    memset(scores, 0, (size_t)begin * sizeof *scores);
    memset(scores + end, 0, (size_t)(count - end) * sizeof *scores);
  }
  rn_gemm_backend_in_use()->nn((int)rn_range_count(queries), K, count, 1, s, BLOCK,
                               h->view->v + rn_attention_key_at(h, keys.begin), h->view->ldkv, 1,
                               x->o, K);
}

/* Computes o and lse of one block of queries. */
static void attend(const rn_attention_head *h, int block, rn_real *o, rn_real *lse) {
  const int K = h->a->width;
  const rn_range queries = rn_attention_block(h, block);
  rn_real *s = rn_attention_scratch(h->a);
  softmax_rows x = {.o = s + 2 * BLOCK * BLOCK};
  for (int i = 0; i < BLOCK; i++) x.top[i] = -(rn_real)INFINITY;
  memset(x.o, 0, (size_t)rn_range_count(queries) * (size_t)K * sizeof *x.o);
  const int first = (int)(rn_attention_first_key(h, queries.begin) / BLOCK);
  for (int j = first; j <= block; j++) add_keys(h, queries, rn_attention_block(h, j), s, &x);
  for (int64_t n = queries.begin; n < queries.end; n++) {
    const int64_t row = n - queries.begin;
    rn_real *to = o + rn_attention_query_at(h, n, (int64_t)h->a->heads * K);
    const rn_real inverse = 1 / x.sum[row];
    for (int e = 0; e < K; e++) to[e] = x.o[row * K + e] * inverse;
    lse[(h->first + n) * h->a->heads + h->head] =
        (rn_real)((double)x.top[row] + log((double)x.sum[row]));
  }
}

void rn_attention_forward(const rn_attention *a, const rn_attention_view *view, rn_real *o,
                          rn_real *lse) {
  const int blocks = rn_attention_blocks(view->tokens);
  const int64_t heads = (int64_t)view->sequences * a->heads;
  /* The last blocks of queries see the most keys, so their tasks begin first. */
#pragma omp parallel for schedule(dynamic) num_threads(a->threads)
  for (int64_t task = 0; task < heads * blocks; task++) {
    const int head = (int)(task % heads % a->heads);
    const rn_attention_head h = {a, view, task % heads / a->heads * view->tokens, head,
                                 head / (a->heads / a->kv_heads)};
    const double begin_s = rn_span_task_begin();
    attend(&h, blocks - 1 - (int)(task / heads), o, lse);
    rn_span_task_end(begin_s);
  }
}
