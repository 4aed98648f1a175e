/* Computes the products of backward with operands in bf16 by the kernel pair_product. P and dS are
 * 0 above the diagonal (causal mask); most multiplications by these zeros are skipped. */
#include "model/attention/attention_backward.h"

enum { QUERIES = RN_ATTENTION_QUERIES, KEYS = RN_ATTENTION_KEYS };

/* Scores are computed for GROUP queries at a time, so that they stay in the first-level cache. Near
 * the diagonal, products are computed for STEP queries or keys at a time. */
enum { GROUP = 16, STEP = 32 };

/* Scratch memory for a block of keys and a block of queries. */
typedef struct scratch {
  rn_real *scores, *dp;                /* [GROUP, KEYS] */
  rn_bf16_pair *p, *ds;                /* [QUERIES / 2, KEYS]: pairs of queries */
  rn_bf16 *ds_rows;                    /* [QUERIES, KEYS] */
  rn_bf16_pair *keys_t, *values_t;     /* [K / 2, KEYS]: pairs of channels, transposed */
  rn_bf16_pair *key_rows;              /* [KEYS / 2, K]: pairs of keys */
  rn_bf16_pair *query_rows, *d_o_rows; /* [QUERIES / 2, K]: pairs of queries */
} scratch;

static scratch scratch_of(const rn_key_block *b) {
  const int K = b->x->a->width;
  scratch s = {.scores = b->scratch};
  s.dp = s.scores + GROUP * KEYS;
  s.p = (rn_bf16_pair *)(s.dp + GROUP * KEYS);
  s.ds = s.p + QUERIES / 2 * KEYS;
  s.ds_rows = (rn_bf16 *)(s.ds + QUERIES / 2 * KEYS);
  s.keys_t = s.ds + QUERIES * KEYS;
  s.values_t = s.keys_t + K / 2 * KEYS;
  s.key_rows = s.values_t + K / 2 * KEYS;
  s.query_rows = s.key_rows + KEYS / 2 * K;
  s.d_o_rows = s.query_rows + QUERIES / 2 * K;
  return s;
}

static void begin(const rn_key_block *b) {
  const scratch s = scratch_of(b);
  const rn_matrix k = b->x->view->k, v = b->x->view->v;
  const int K = b->x->a->width, count = (int)rn_range_count(b->keys);
  const rn_array keys = rn_attention_key_at(&b->h, k, b->keys.begin);
  rn_attention_transpose_pairs(count, K / 2, keys, k.ld, s.keys_t, KEYS);
  rn_attention_transpose_pairs(count, K / 2, rn_attention_key_at(&b->h, v, b->keys.begin), v.ld,
                               s.values_t, KEYS);
  rn_attention_pair_rows(count, K, keys, k.ld, s.key_rows);
}

/* Computes P and dS of queries n and n + 1; the second may be beyond the end of the block. */
static void softmax_pair(const rn_key_block *b, rn_range queries, rn_range seen, int64_t n) {
  const scratch s = scratch_of(b);
  const rn_attention_backward_args *x = b->x;
  const int64_t first = n - queries.begin, in_group = first % GROUP * KEYS;
  rn_softmax_pair pair = {.keys = (int)rn_range_count(seen),
                          .scale = rn_attention_scale(x->a),
                          .p = s.p + first / 2 * KEYS,
                          .ds = s.ds + first / 2 * KEYS};
  for (int i = 0; i < 2; i++) {
    pair.s[i] = s.scores + in_group + i * KEYS;
    pair.dp[i] = s.dp + in_group + i * KEYS;
    pair.ds_rows[i] = s.ds_rows + (first + i) * KEYS;
    if (n + i >= queries.end) continue;
    const int64_t row = rn_attention_query_row(&b->h, n + i) * x->a->heads + b->h.head;
    pair.lse[i] = x->lse[row];
    pair.delta[i] = x->delta[row];
    pair.seen[i] = rn_attention_row(&b->h, n + i, seen);
  }
  rn_kernels_table()->softmax_backward_pair(&pair);
}

/* Computes the scores and dP of a group of queries. */
static void multiply_queries(const rn_key_block *b, rn_range group, rn_range seen) {
  const scratch s = scratch_of(b);
  const rn_matrix q = b->x->view->q, d_o = b->x->grads->d_o;
  const int64_t first = seen.begin - b->keys.begin;
  const rn_bf16 *at = rn_array_bf16s(rn_attention_query_at(&b->h, q, group.begin));
  rn_pair_product product = {.m = (int)rn_range_count(group),
                             .n = (int)(rn_smaller(seen.end, group.end) - seen.begin),
                             .pairs = b->x->a->width / 2,
                             .a = {at, q.ld, 2},
                             .b = s.keys_t + first,
                             .ldb = KEYS,
                             .c = s.scores,
                             .ldc = KEYS};
  rn_kernels_table()->pair_product(&product);
  product.a.at = rn_array_bf16s(rn_attention_query_at(&b->h, d_o, group.begin));
  product.a.row = d_o.ld;
  product.b = s.values_t + first;
  product.c = s.dp;
  rn_kernels_table()->pair_product(&product);
}

static void recompute(const rn_key_block *b, rn_range queries, rn_range seen) {
  const scratch s = scratch_of(b);
  const rn_matrix q = b->x->view->q, d_o = b->x->grads->d_o;
  const int K = b->x->a->width, count = (int)rn_range_count(queries);
  rn_attention_pair_rows(count, K, rn_attention_query_at(&b->h, q, queries.begin), q.ld,
                         s.query_rows);
  rn_attention_pair_rows(count, K, rn_attention_query_at(&b->h, d_o, queries.begin), d_o.ld,
                         s.d_o_rows);
  for (int64_t n = queries.begin; n < queries.end; n += GROUP) {
    const rn_range group = {n, rn_smaller(n + GROUP, queries.end)};
    if (seen.begin < group.end) multiply_queries(b, group, seen);
    for (int64_t i = group.begin; i < group.end; i += 2) softmax_pair(b, queries, seen, i);
  }
}

/* Computes dk += dS^T q and dv += P^T do for the keys `keys`, summed over the queries from `first`
 * to the end of the block. */
static void add_to_some_keys(const rn_key_block *b, rn_range queries, int64_t first, rn_range seen,
                             rn_range keys) {
  const scratch s = scratch_of(b);
  const int K = b->x->a->width;
  const int64_t ld = b->x->grads->ldkv, at = (keys.begin - b->keys.begin) * ld;
  const int64_t row = (first - queries.begin) / 2, col = keys.begin - seen.begin;
  rn_pair_product product = {.m = (int)rn_range_count(keys),
                             .n = K,
                             .pairs = (int)((rn_range_count(queries) + 1) / 2 - row),
                             .a = {(rn_bf16 *)(s.ds + row * KEYS + col), 2, 2 * KEYS},
                             .b = s.query_rows + row * K,
                             .ldb = K,
                             .add = true,
                             .c = b->dk + at,
                             .ldc = ld};
  rn_kernels_table()->pair_product(&product);
  product.a.at = (rn_bf16 *)(s.p + row * KEYS + col);
  product.b = s.d_o_rows + row * K;
  product.c = b->dv + at;
  rn_kernels_table()->pair_product(&product);
}

/* The keys that precede the first query are processed together. The other keys are processed STEP
 * at a time; each time, queries that precede the first of these keys are skipped. */
static void add_to_keys(const rn_key_block *b, rn_range queries, rn_range seen) {
  const int64_t diagonal = rn_smaller(queries.begin, seen.end);
  int64_t begin_key = seen.begin;
  if (begin_key < diagonal) {
    add_to_some_keys(b, queries, queries.begin, seen, (rn_range){begin_key, diagonal});
    begin_key = diagonal;
  }
  for (; begin_key < seen.end; begin_key += STEP) {
    const int64_t before = begin_key > queries.begin ? begin_key - queries.begin : 0;
    add_to_some_keys(b, queries, queries.begin + before / 2 * 2, seen,
                     (rn_range){begin_key, rn_smaller(begin_key + STEP, seen.end)});
  }
}

static void multiply_keys(const rn_key_block *b, rn_range queries, rn_range seen, bool add,
                          rn_real *dq) {
  const scratch s = scratch_of(b);
  const int K = b->x->a->width;
  const int64_t ld = (int64_t)b->x->a->heads * K;
  for (int64_t n = queries.begin; n < queries.end; n += STEP) {
    const int64_t end = rn_smaller(n + STEP, queries.end), first = n - queries.begin;
    const int64_t keys = rn_smaller(seen.end, end) - seen.begin;
    rn_kernels_table()->pair_product(
        &(rn_pair_product){.m = (int)(end - n),
                           .n = K,
                           .pairs = keys > 0 ? (int)(keys + 1) / 2 : 0,
                           .a = {s.ds_rows + first * KEYS, KEYS, 2},
                           .b = s.key_rows + (seen.begin - b->keys.begin) / 2 * K,
                           .ldb = K,
                           .add = add,
                           .c = dq + first * ld,
                           .ldc = ld});
  }
}

const rn_attention_products rn_attention_products_pairs = {begin, recompute, add_to_keys,
                                                           multiply_keys};
