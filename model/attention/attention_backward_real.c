/* Computes the products of backward with operands in rn_real. */
#include <string.h>

#include "model/attention/attention_backward.h"

enum { QUERIES = RN_ATTENTION_QUERIES, KEYS = RN_ATTENTION_KEYS };

_Static_assert(2 * QUERIES >= KEYS, "query_rows and d_o_rows are large enough for the rows of V");

/* Scratch memory for a block of keys and a block of queries. */
typedef struct scratch {
  rn_real *p, *ds;                /* [QUERIES, KEYS] */
  rn_real *keys_t, *values_t;     /* [K, KEYS]: transposed */
  rn_real *key_rows;              /* [KEYS, K] */
  rn_real *query_rows, *d_o_rows; /* [QUERIES, K] */
} scratch;

static scratch scratch_of(const rn_key_block *b) {
  const int K = b->x->a->width;
  scratch s = {.p = b->scratch};
  s.ds = s.p + QUERIES * KEYS;
  s.keys_t = s.ds + QUERIES * KEYS;
  s.values_t = s.keys_t + KEYS * K;
  s.key_rows = s.values_t + KEYS * K;
  s.query_rows = s.key_rows + KEYS * K;
  s.d_o_rows = s.query_rows + QUERIES * K;
  return s;
}

static void begin(const rn_key_block *b) {
  const scratch s = scratch_of(b);
  const int K = b->x->a->width, count = (int)rn_range_count(b->keys);
  rn_real *value_rows = s.query_rows;
  rn_attention_load_keys(&b->h, b->x->view->k, b->keys, s.key_rows);
  rn_attention_load_keys(&b->h, b->x->view->v, b->keys, value_rows);
  rn_attention_transpose(count, K, s.key_rows, s.keys_t, KEYS);
  rn_attention_transpose(count, K, value_rows, s.values_t, KEYS);
}

void rn_attention_probabilities(const rn_key_block *b, rn_range queries, rn_range seen, rn_real *p,
                                rn_real *ds) {
  const rn_attention_backward_args *x = b->x;
  const rn_real scale = rn_attention_scale(x->a);
  const int count = (int)rn_range_count(seen);
  for (int64_t n = queries.begin; n < queries.end; n++, p += KEYS, ds += KEYS) {
    const int64_t row = rn_attention_query_row(&b->h, n) * x->a->heads + b->h.head;
    const rn_columns own = rn_attention_row(&b->h, n, seen);
    rn_kernels_table()->softmax_backward(own.end - own.begin, scale, x->lse[row], x->delta[row],
                                         p + own.begin, ds + own.begin);
    memset(p, 0, (size_t)own.begin * sizeof *p);
    memset(ds, 0, (size_t)own.begin * sizeof *ds);
    memset(p + own.end, 0, (size_t)(count - own.end) * sizeof *p);
    memset(ds + own.end, 0, (size_t)(count - own.end) * sizeof *ds);
  }
}

static void recompute(const rn_key_block *b, rn_range queries, rn_range seen) {
  const scratch s = scratch_of(b);
  const int K = b->x->a->width;
  const int64_t first = seen.begin - b->keys.begin;
  rn_attention_load_queries(&b->h, b->x->view->q, queries, s.query_rows);
  rn_attention_load_queries(&b->h, b->x->grads->d_o, queries, s.d_o_rows);
  rn_cached_product product = {.m = (int)rn_range_count(queries),
                               .n = (int)rn_range_count(seen),
                               .k = K,
                               .a = {s.query_rows, K, 1},
                               .b = s.keys_t + first,
                               .ldb = KEYS,
                               .c = s.p,
                               .ldc = KEYS};
  rn_kernels_table()->cached_product(&product);
  product.a.at = s.d_o_rows;
  product.b = s.values_t + first;
  product.c = s.ds;
  rn_kernels_table()->cached_product(&product);
  rn_attention_probabilities(b, queries, seen, s.p, s.ds);
}

static void add_to_keys(const rn_key_block *b, rn_range queries, rn_range seen) {
  const scratch s = scratch_of(b);
  const int K = b->x->a->width;
  const int64_t ld = b->x->grads->ldkv, at = (seen.begin - b->keys.begin) * ld;
  rn_cached_product product = {.m = (int)rn_range_count(seen),
                               .n = K,
                               .k = (int)rn_range_count(queries),
                               .a = {s.ds, 1, KEYS},
                               .b = s.query_rows,
                               .ldb = K,
                               .add = true,
                               .c = b->dk + at,
                               .ldc = ld};
  rn_kernels_table()->cached_product(&product);
  product.a.at = s.p;
  product.b = s.d_o_rows;
  product.c = b->dv + at;
  rn_kernels_table()->cached_product(&product);
}

static void multiply_keys(const rn_key_block *b, rn_range queries, rn_range seen, bool add,
                          rn_real *dq) {
  const scratch s = scratch_of(b);
  const int K = b->x->a->width;
  rn_kernels_table()->cached_product(
      &(rn_cached_product){.m = (int)rn_range_count(queries),
                           .n = K,
                           .k = (int)rn_range_count(seen),
                           .a = {s.ds, KEYS, 1},
                           .b = s.key_rows + (seen.begin - b->keys.begin) * K,
                           .ldb = K,
                           .add = add,
                           .c = dq,
                           .ldc = (int64_t)b->x->a->heads * K});
}

const rn_attention_products rn_attention_products_real = {begin, recompute, add_to_keys,
                                                          multiply_keys};
