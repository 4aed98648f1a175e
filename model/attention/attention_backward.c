#include "model/attention/attention_backward.h"

#include <omp.h>
#include <string.h>

#include "proto/base/span.h"

enum { QUERIES = RN_ATTENTION_QUERIES, KEYS = RN_ATTENTION_KEYS };

typedef rn_attention_backward_args backward;
typedef rn_key_block key_block;

/* Computes delta of one row, all heads. */
static void row_delta(const backward *x, int64_t row) {
  const int H = x->a->heads, K = x->a->width;
  for (int h = 0; h < H; h++) {
    const rn_matrix o = rn_matrix_from(x->o, row, h * K),
                    d_o = rn_matrix_from(x->grads->d_o, row, h * K);
    double sum = 0;
    for (int e = 0; e < K; e++) {
      sum += (double)rn_array_value(d_o.x, e) * (double)rn_array_value(o.x, e);
    }
    x->delta[row * H + h] = (rn_real)sum;
  }
}

static const rn_attention_products *products(const backward *x) {
  if (!x->view->q.x.bf16) return &rn_attention_products_real;
  return rn_attention_multiplies_pairs() ? &rn_attention_products_pairs
                                         : &rn_attention_products_backend;
}

/* Computes dq += dS k. First waits until the task of the previous block of keys has added its
 * contribution to dq of the same queries. */
static void add_to_queries(const key_block *b, int64_t block, rn_range seen) {
  const backward *x = b->x;
  const int K = x->a->width;
  const rn_range queries = rn_attention_queries(x->view, block);
  const int64_t row = rn_attention_query_row(&b->h, queries.begin), ld = (int64_t)x->a->heads * K;
  const bool begins = rn_attention_first_key(&b->h, queries.begin) >= b->keys.begin;
  rn_real *dq = x->grads->dq + row * ld + (int64_t)b->h.head * K;
  if (!begins) rn_attention_wait(b->progress - 1, (int)block);
  products(x)->multiply_keys(b, queries, seen, !begins, dq);
}

/* Adds the contributions of one block of queries, for all query heads of the key head, to dq, dk
 * and dv. */
static void add_queries(key_block *b, int64_t block) {
  const rn_attention *a = b->x->a;
  const int group = a->heads / a->kv_heads;
  const rn_range queries = rn_attention_queries(b->x->view, block);
  const rn_range seen = rn_attention_seen(&b->h, queries, b->keys);
  for (int member = 0; member < group; member++) {
    b->h.head = b->h.kv_head * group + member;
    products(b->x)->recompute(b, queries, seen);
    products(b->x)->add_to_keys(b, queries, seen);
    add_to_queries(b, block, seen);
  }
  rn_attention_pass(b->progress, (int)block);
}

/* Sets the gradients of a block of keys to 0, unless grads->add is set. */
static void clear_gradients(const key_block *b) {
  const rn_attention_grads *grads = b->x->grads;
  const size_t bytes = (size_t)b->x->a->width * sizeof(rn_real);
  for (int m = 0; !grads->add && m < rn_range_count(b->keys); m++) {
    memset(b->dk + m * grads->ldkv, 0, bytes);
    memset(b->dv + m * grads->ldkv, 0, bytes);
  }
}

static key_block key_block_of(const backward *x, int sequence, int kv_head, int block) {
  const int K = x->a->width, blocks = rn_attention_key_blocks(x->view);
  key_block b = {.x = x,
                 .h = {x->a, x->view, sequence, 0, kv_head},
                 .keys = rn_attention_keys(x->view, block),
                 .scratch = rn_attention_scratch(x->a)};
  const int64_t at =
      rn_attention_key_row(&b.h, b.keys.begin) * x->grads->ldkv + (int64_t)kv_head * K;
  b.dk = x->grads->dk + at;
  b.dv = x->grads->dv + at;
  b.progress = x->a->progress + ((int64_t)sequence * x->a->kv_heads + kv_head) * blocks + block;
  return b;
}

/* Computes dk and dv of one block of keys, and adds the block's contribution to dq. The first key
 * that query n sees (rn_attention_first_key) never decreases as n grows. Therefore, once the first
 * query of a block sees none of the keys, no later query sees them. */
static void key_gradient(key_block *b) {
  const backward *x = b->x;
  const rn_range blocks = rn_attention_query_blocks(x->view);
  const int64_t own = b->keys.begin / QUERIES;
  const int64_t first = own > blocks.begin ? own : blocks.begin;
  int64_t end = first;
  clear_gradients(b);
  products(x)->begin(b);
  while (end < blocks.end &&
         rn_attention_first_key(&b->h, rn_attention_queries(x->view, end).begin) < b->keys.end) {
    end++;
  }
  for (int64_t block = end - 1; block >= first; block--) add_queries(b, block);
}

/* Threads take the tasks in order from one counter. A task waits only for a task that is earlier in
 * this order and has therefore already begun, so no wait can deadlock. The tasks of the first keys
 * have the most queries and begin first. */
static void run_tasks(const backward *x, atomic_llong *next) {
  const int64_t heads = (int64_t)x->view->sequences * x->a->kv_heads;
  const int64_t tasks = heads * rn_attention_key_blocks(x->view);
  for (int64_t task; (task = atomic_fetch_add(next, 1)) < tasks;) {
    const double begin_s = rn_span_task_begin();
    key_block b = key_block_of(x, (int)(task % heads / x->a->kv_heads),
                               (int)(task % x->a->kv_heads), (int)(task / heads));
    key_gradient(&b);
    rn_span_task_end(begin_s);
  }
}

void rn_attention_backward(const rn_attention *a, const rn_attention_view *view, rn_matrix o,
                           const rn_real *lse, rn_real *delta, const rn_attention_grads *grads) {
  const backward x = {a, view, o, lse, delta, grads};
  const int64_t rows = (int64_t)view->sequences * view->tokens;
  const int64_t tasks = (int64_t)view->sequences * a->kv_heads * rn_attention_key_blocks(view);
  const int none = (int)rn_attention_query_blocks(view).end;
  atomic_llong next = 0;
  for (int64_t i = 0; i < tasks; i++) atomic_init(&a->progress[i].passed, none);
#pragma omp parallel num_threads(a->threads)
  {
    const double begin_s = rn_span_task_begin();
#pragma omp for schedule(static) nowait
    for (int64_t row = 0; row < rows; row++) row_delta(&x, row);
    rn_span_task_end(begin_s);
#pragma omp barrier
    run_tasks(&x, &next);
  }
}
