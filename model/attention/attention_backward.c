#include <omp.h>
#include <string.h>

#include "model/attention/attention.h"
#include "model/attention/attention_block.h"
#include "model/attention/attention_progress.h"
#include "model/kernel/gemm.h"
#include "proto/base/span.h"

enum { QUERIES = RN_ATTENTION_QUERIES, KEYS = RN_ATTENTION_KEYS };

_Static_assert(2 * QUERIES >= KEYS, "rows of values fit where those of queries and d_o will be");

/* The arguments of backward that are the same for all heads. */
typedef struct backward {
  const rn_attention *a;
  const rn_attention_view *view;
  rn_matrix o;
  const rn_real *lse;
  rn_real *delta;
  const rn_attention_grads *grads;
} backward;

/* A block of keys, and scratch memory for this block and one block of queries. */
typedef struct key_block {
  rn_attention_head h; /* `head` is the query head that is being processed */
  rn_range keys;
  rn_real *p, *ds;    /* [QUERIES, KEYS] */
  rn_array p16, ds16; /* [QUERIES, KEYS]: p and ds rounded to bf16; only with bf16 operands, in the
                         memory of the arrays below, which are then not used */
  rn_real *keys_t, *values_t;     /* [K, KEYS]: transposed */
  rn_real *key_rows;              /* [KEYS, K] */
  rn_real *query_rows, *d_o_rows; /* [QUERIES, K] */
  rn_real *dk, *dv;               /* first row of the block in the gradients of k and v */
  rn_attention_progress *progress;
} key_block;

static bool is_bf16(const backward *x) {
  return x->view->q.x.bf16;
}

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

/* Replaces scores and dP of a block by P and dS; entries for keys that the query does not see
 * become 0. */
static void probabilities(const key_block *b, const backward *x, rn_range queries, rn_range seen) {
  const rn_kernels *kernels = rn_kernels_table();
  const rn_real scale = rn_attention_scale(x->a);
  const int count = (int)rn_range_count(seen);
  for (int64_t n = queries.begin; n < queries.end; n++) {
    const int64_t row = rn_attention_query_row(&b->h, n) * x->a->heads + b->h.head;
    const rn_columns own = rn_attention_row(&b->h, n, seen);
    const int64_t at = (n - queries.begin) * KEYS;
    rn_real *p = b->p + at, *ds = b->ds + at;
    kernels->softmax_backward(own.end - own.begin, scale, x->lse[row], x->delta[row], p + own.begin,
                              ds + own.begin);
    memset(p, 0, (size_t)own.begin * sizeof *p);
    memset(ds, 0, (size_t)own.begin * sizeof *ds);
    memset(p + own.end, 0, (size_t)(count - own.end) * sizeof *p);
    memset(ds + own.end, 0, (size_t)(count - own.end) * sizeof *ds);
    if (!is_bf16(x)) continue;
    kernels->round_bf16(count, p, rn_array_bf16s(b->p16) + at);
    kernels->round_bf16(count, ds, rn_array_bf16s(b->ds16) + at);
  }
}

/* ---- products of operands in bf16 ---- */

static void scores_bf16(const key_block *b, const backward *x, rn_range queries, rn_range seen) {
  const rn_attention_view *u = x->view;
  const int K = x->a->width, m = (int)rn_range_count(queries), n = (int)rn_range_count(seen);
  const rn_array q = rn_attention_query_at(&b->h, u->q, queries.begin);
  const rn_array d_o = rn_attention_query_at(&b->h, x->grads->d_o, queries.begin);
  rn_gemm(RN_GEMM_NT, m, n, K, q, u->q.ld, rn_attention_key_at(&b->h, u->k, seen.begin), u->k.ld, 0,
          rn_reals(b->p), KEYS);
  rn_gemm(RN_GEMM_NT, m, n, K, d_o, x->grads->d_o.ld, rn_attention_key_at(&b->h, u->v, seen.begin),
          u->v.ld, 0, rn_reals(b->ds), KEYS);
}

static void add_to_keys_bf16(const key_block *b, const backward *x, rn_range queries,
                             rn_range seen) {
  const rn_matrix q = x->view->q, d_o = x->grads->d_o;
  const int K = x->a->width, m = (int)rn_range_count(seen), n = (int)rn_range_count(queries);
  const int64_t ld = x->grads->ldkv, at = (seen.begin - b->keys.begin) * ld;
  rn_gemm(RN_GEMM_TN, m, K, n, b->ds16, KEYS, rn_attention_query_at(&b->h, q, queries.begin), q.ld,
          1, rn_reals(b->dk + at), ld);
  rn_gemm(RN_GEMM_TN, m, K, n, b->p16, KEYS, rn_attention_query_at(&b->h, d_o, queries.begin),
          d_o.ld, 1, rn_reals(b->dv + at), ld);
}

/* ---- products of either type ---- */

/* Computes P and dS for a block of queries and the keys `seen` of the block of keys. */
static void recompute(const key_block *b, const backward *x, rn_range queries, rn_range seen) {
  const int K = x->a->width;
  const int64_t first = seen.begin - b->keys.begin;
  if (is_bf16(x)) {
    scores_bf16(b, x, queries, seen);
    probabilities(b, x, queries, seen);
    return;
  }
  rn_cached_product product = {.m = (int)rn_range_count(queries),
                               .n = (int)rn_range_count(seen),
                               .k = K,
                               .a = {b->query_rows, K, 1},
                               .b = b->keys_t + first,
                               .ldb = KEYS,
                               .c = b->p,
                               .ldc = KEYS};
  rn_kernels_table()->cached_product(&product);
  product.a.at = b->d_o_rows;
  product.b = b->values_t + first;
  product.c = b->ds;
  rn_kernels_table()->cached_product(&product);
  probabilities(b, x, queries, seen);
}

/* Computes dk += dS^T q and dv += P^T do for the keys `seen`. */
static void add_to_keys(const key_block *b, const backward *x, rn_range queries, rn_range seen) {
  const int K = x->a->width;
  const int64_t ld = x->grads->ldkv, at = (seen.begin - b->keys.begin) * ld;
  if (is_bf16(x)) {
    add_to_keys_bf16(b, x, queries, seen);
    return;
  }
  rn_cached_product product = {.m = (int)rn_range_count(seen),
                               .n = K,
                               .k = (int)rn_range_count(queries),
                               .a = {b->ds, 1, KEYS},
                               .b = b->query_rows,
                               .ldb = K,
                               .add = true,
                               .c = b->dk + at,
                               .ldc = ld};
  rn_kernels_table()->cached_product(&product);
  product.a.at = b->p;
  product.b = b->d_o_rows;
  product.c = b->dv + at;
  rn_kernels_table()->cached_product(&product);
}

/* Computes dq += dS k, after the previous block of keys has been added to dq. */
static void add_to_queries(const key_block *b, const backward *x, int64_t block, rn_range seen) {
  const int K = x->a->width;
  const rn_range queries = rn_attention_queries(x->view, block);
  const int64_t row = rn_attention_query_row(&b->h, queries.begin), ld = (int64_t)x->a->heads * K;
  const bool begins = rn_attention_first_key(&b->h, queries.begin) >= b->keys.begin;
  const int m = (int)rn_range_count(queries), k = (int)rn_range_count(seen);
  rn_real *dq = x->grads->dq + row * ld + (int64_t)b->h.head * K;
  if (!begins) rn_attention_wait(b->progress - 1, (int)block);
  if (is_bf16(x)) {
    rn_gemm(RN_GEMM_NN, m, K, k, b->ds16, KEYS, rn_attention_key_at(&b->h, x->view->k, seen.begin),
            x->view->k.ld, begins ? 0 : 1, rn_reals(dq), ld);
    return;
  }
  rn_kernels_table()->cached_product(
      &(rn_cached_product){.m = m,
                           .n = K,
                           .k = k,
                           .a = {b->ds, KEYS, 1},
                           .b = b->key_rows + (seen.begin - b->keys.begin) * K,
                           .ldb = K,
                           .add = !begins,
                           .c = dq,
                           .ldc = ld});
}

/* Adds the contributions of one block of queries, for all query heads of the key head, to dq, dk
 * and dv. */
static void add_queries(key_block *b, const backward *x, int64_t block) {
  const int group = x->a->heads / x->a->kv_heads;
  const rn_range queries = rn_attention_queries(x->view, block);
  const rn_range seen = rn_attention_seen(&b->h, queries, b->keys);
  for (int member = 0; member < group; member++) {
    b->h.head = b->h.kv_head * group + member;
    if (!is_bf16(x)) {
      rn_attention_load_queries(&b->h, x->view->q, queries, b->query_rows);
      rn_attention_load_queries(&b->h, x->grads->d_o, queries, b->d_o_rows);
    }
    recompute(b, x, queries, seen);
    add_to_keys(b, x, queries, seen);
    add_to_queries(b, x, block, seen);
  }
  rn_attention_pass(b->progress, (int)block);
}

/* Sets the gradients of a block of keys to 0, unless grads->add is set. Loads the rows of the
 * block, except in bf16. */
static void begin_keys(key_block *b, const backward *x) {
  const int K = x->a->width, count = (int)rn_range_count(b->keys);
  for (int m = 0; !x->grads->add && m < count; m++) {
    memset(b->dk + m * x->grads->ldkv, 0, (size_t)K * sizeof *b->dk);
    memset(b->dv + m * x->grads->ldkv, 0, (size_t)K * sizeof *b->dv);
  }
  if (is_bf16(x)) return;
  rn_real *value_rows = b->query_rows;
  rn_attention_load_keys(&b->h, x->view->k, b->keys, b->key_rows);
  rn_attention_load_keys(&b->h, x->view->v, b->keys, value_rows);
  rn_attention_transpose(count, K, b->key_rows, b->keys_t, KEYS);
  rn_attention_transpose(count, K, value_rows, b->values_t, KEYS);
}

static key_block key_block_of(const backward *x, int sequence, int kv_head, int block) {
  const int K = x->a->width, blocks = rn_attention_key_blocks(x->view);
  key_block b = {.h = {x->a, x->view, sequence, 0, kv_head},
                 .keys = rn_attention_keys(x->view, block),
                 .p = rn_attention_scratch(x->a)};
  const int64_t at =
      rn_attention_key_row(&b.h, b.keys.begin) * x->grads->ldkv + (int64_t)kv_head * K;
  b.ds = b.p + QUERIES * KEYS;
  b.p16 = (rn_array){b.ds + QUERIES * KEYS, true};
  b.ds16 = rn_array_from(b.p16, QUERIES * KEYS);
  b.keys_t = b.ds + QUERIES * KEYS;
  b.values_t = b.keys_t + KEYS * K;
  b.key_rows = b.values_t + KEYS * K;
  b.query_rows = b.key_rows + KEYS * K;
  b.d_o_rows = b.query_rows + QUERIES * K;
  b.dk = x->grads->dk + at;
  b.dv = x->grads->dv + at;
  b.progress = x->a->progress + ((int64_t)sequence * x->a->kv_heads + kv_head) * blocks + block;
  return b;
}

/* Computes dk and dv of one block of keys, and adds the block's contribution to dq. Because lo(n)
 * never decreases, the loop over blocks of queries ends at the first block whose first row sees
 * none of these keys. */
static void key_gradient(key_block *b, const backward *x) {
  const rn_range blocks = rn_attention_query_blocks(x->view);
  const int64_t own = b->keys.begin / QUERIES;
  const int64_t first = own > blocks.begin ? own : blocks.begin;
  int64_t end = first;
  begin_keys(b, x);
  while (end < blocks.end &&
         rn_attention_first_key(&b->h, rn_attention_queries(x->view, end).begin) < b->keys.end) {
    end++;
  }
  for (int64_t block = end - 1; block >= first; block--) add_queries(b, x, block);
}

/* Threads take the tasks in order from one counter: a task comes after the task that it waits for,
 * so that no wait can deadlock. The tasks of the first keys have the most queries and begin first.
 */
static void run_tasks(const backward *x, atomic_llong *next) {
  const int64_t heads = (int64_t)x->view->sequences * x->a->kv_heads;
  const int64_t tasks = heads * rn_attention_key_blocks(x->view);
  for (int64_t task; (task = atomic_fetch_add(next, 1)) < tasks;) {
    const double begin_s = rn_span_task_begin();
    key_block b = key_block_of(x, (int)(task % heads / x->a->kv_heads),
                               (int)(task % x->a->kv_heads), (int)(task / heads));
    key_gradient(&b, x);
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
