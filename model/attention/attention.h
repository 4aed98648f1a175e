/**
 * Computes causal softmax attention block by block, so that no array of tokens x tokens is stored.
 *
 *   P[n][m] = softmax over m of q_n . k_m / sqrt(K),   lo(n) <= m <= n,   o_n = sum_m P[n][m] v_m
 *   lo(n) = max(n - doc_position(n), n - window + 1)    the second term applies only with a window
 *
 * Query head h uses key head h div (H / G). Forward keeps a running maximum and sum of each row
 * (online softmax) and saves lse = maximum + log(sum). Backward recomputes the blocks of P from
 * lse:
 *
 *   delta_n = do_n . o_n,  dP = do v^T,  dS = P (dP - delta)
 *   dq = dS k / sqrt(K),   dk = dS^T q / sqrt(K),   dv = P^T do
 *
 * Order of sums: o and dq are sums over blocks of keys in ascending order. dk and dv are sums over
 * blocks of queries in descending order and, within each block, over the query heads of the key
 * head. Blocks have RN_ATTENTION_BLOCK tokens, counted from the start of the sequence. One task
 * computes o or dq for one block of queries of one head; another kind of task computes dk and dv
 * for one block of keys of one key head. Tasks therefore share no sums, and the bits of the results
 * do not depend on the number of threads; the price is that backward computes the scores and dP
 * twice.
 *
 * Source: Dao et al., FlashAttention-2 (arXiv 2307.08691); Milakov and Gimelshein, Online
 * normalizer calculation for softmax (arXiv 1805.02867).
 */
#ifndef RN_MODEL_ATTENTION_ATTENTION_H
#define RN_MODEL_ATTENTION_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/spec/spec.h"
#include "proto/base/real.h"
#include "proto/base/status.h"

enum { RN_ATTENTION_BLOCK = 128 };

/** The sizes of attention, and the scratch memory of its threads. */
typedef struct rn_attention {
  int heads, kv_heads, width; /* H, G, K */
  int window;                 /* 0: none */
  int threads;
  rn_real *scratch;
} rn_attention;

/** The queries, keys and values of whole sequences. Shapes: q [B T, H K], k and v [B T, G K] with a
 * common row stride; doc_position [B T]. */
typedef struct rn_attention_view {
  int sequences, tokens;
  const int32_t *doc_position;
  const rn_real *q, *k, *v;
  int64_t ldq, ldkv;
} rn_attention_view;

/** The arrays of gradients that backward reads and writes; dk and dv have the row stride ldkv of
 * the view. */
typedef struct rn_attention_grads {
  const rn_real *d_o; /* [B T, H K] */
  rn_real *dq;        /* [B T, H K] */
  rn_real *dk, *dv;
} rn_attention_grads;

/** Returns the sizes of a spec's attention layers, for rn_threads() threads. */
rn_attention rn_attention_shape(const rn_spec *spec);
/** Returns the bytes of scratch memory, for all threads. */
size_t rn_attention_bytes(const rn_attention *shape);
/** Sets *out to the sizes and allocates scratch memory. Errors: RN_ERR_MEMORY. */
rn_status rn_attention_create(rn_err *err, const rn_spec *spec, rn_attention *out);
void rn_attention_destroy(rn_attention *attention);

/** Computes o [B T, H K] and lse [B T, H]. */
void rn_attention_forward(const rn_attention *attention, const rn_attention_view *view, rn_real *o,
                          rn_real *lse);

/** Computes the gradients of q, k and v from those of o. delta [B T, H] is work space. */
void rn_attention_backward(const rn_attention *attention, const rn_attention_view *view,
                           const rn_real *o, const rn_real *lse, rn_real *delta,
                           const rn_attention_grads *grads);

#endif
