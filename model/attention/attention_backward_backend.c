/* Computes the products of backward with operands in bf16 by the GEMM backend, which reads q, k, v
 * and d_o in place. */
#include "model/attention/attention_backward.h"
#include "model/kernel/gemm.h"

enum { QUERIES = RN_ATTENTION_QUERIES, KEYS = RN_ATTENTION_KEYS };

/* Scratch memory for a block of queries; p16 and ds16 are p and ds rounded to bf16. */
typedef struct scratch {
  rn_real *p, *ds;    /* [QUERIES, KEYS] */
  rn_array p16, ds16; /* [QUERIES, KEYS] */
} scratch;

static scratch scratch_of(const rn_key_block *b) {
  rn_real *ds = b->scratch + QUERIES * KEYS;
  const rn_array p16 = {ds + QUERIES * KEYS, true};
  return (scratch){b->scratch, ds, p16, rn_array_from(p16, QUERIES * KEYS)};
}

static void begin(const rn_key_block *b) {
  (void)b;
}

static void recompute(const rn_key_block *b, rn_range queries, rn_range seen) {
  const scratch s = scratch_of(b);
  const rn_attention_view *u = b->x->view;
  const rn_matrix x = b->x->grads->d_o;
  const int K = b->x->a->width, m = (int)rn_range_count(queries), n = (int)rn_range_count(seen);
  const rn_array q = rn_attention_query_at(&b->h, u->q, queries.begin);
  const rn_array d_o = rn_attention_query_at(&b->h, x, queries.begin);
  rn_gemm(RN_GEMM_NT, m, n, K, q, u->q.ld, rn_attention_key_at(&b->h, u->k, seen.begin), u->k.ld, 0,
          rn_reals(s.p), KEYS);
  rn_gemm(RN_GEMM_NT, m, n, K, d_o, x.ld, rn_attention_key_at(&b->h, u->v, seen.begin), u->v.ld, 0,
          rn_reals(s.ds), KEYS);
  rn_attention_probabilities(b, queries, seen, s.p, s.ds);
  for (int64_t i = 0; i < m; i++) {
    rn_kernels_table()->round_bf16(n, s.p + i * KEYS, rn_array_bf16s(s.p16) + i * KEYS);
    rn_kernels_table()->round_bf16(n, s.ds + i * KEYS, rn_array_bf16s(s.ds16) + i * KEYS);
  }
}

static void add_to_keys(const rn_key_block *b, rn_range queries, rn_range seen) {
  const scratch s = scratch_of(b);
  const rn_matrix q = b->x->view->q, d_o = b->x->grads->d_o;
  const int K = b->x->a->width, m = (int)rn_range_count(seen), n = (int)rn_range_count(queries);
  const int64_t ld = b->x->grads->ldkv, at = (seen.begin - b->keys.begin) * ld;
  rn_gemm(RN_GEMM_TN, m, K, n, s.ds16, KEYS, rn_attention_query_at(&b->h, q, queries.begin), q.ld,
          1, rn_reals(b->dk + at), ld);
  rn_gemm(RN_GEMM_TN, m, K, n, s.p16, KEYS, rn_attention_query_at(&b->h, d_o, queries.begin),
          d_o.ld, 1, rn_reals(b->dv + at), ld);
}

static void multiply_keys(const rn_key_block *b, rn_range queries, rn_range seen, bool add,
                          rn_real *dq) {
  const rn_matrix k = b->x->view->k;
  const int K = b->x->a->width;
  rn_gemm(RN_GEMM_NN, (int)rn_range_count(queries), K, (int)rn_range_count(seen),
          scratch_of(b).ds16, KEYS, rn_attention_key_at(&b->h, k, seen.begin), k.ld, add ? 1 : 0,
          rn_reals(dq), (int64_t)b->x->a->heads * K);
}

const rn_attention_products rn_attention_products_backend = {begin, recompute, add_to_keys,
                                                             multiply_keys};
