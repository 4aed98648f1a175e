/**
 * Causal softmax attention, block by block: no array of tokens x tokens exists.
 *
 *   P[n][m] = softmax over m of q_n . k_m / sqrt(K),   lo(n) <= m <= n,   o_n = sum_m P[n][m] v_m
 *   lo(n) = max(n - doc_position(n), n - window + 1)    the second term only with a window
 *
 * Query head h uses key head h div (H / G). Forward keeps a running maximum and sum of each row
 * (online softmax) and saves lse = maximum + log(sum). Backward recomputes the blocks of P from it:
 *
 *   delta_n = do_n . o_n,  dP = do v^T,  dS = P (dP - delta)
 *   dq = dS k / sqrt(K),   dk = dS^T q / sqrt(K),   dv = P^T do
 *
 * Order of sums: o and dq add blocks of keys in ascending order, dk and dv blocks of queries in
 * descending order, the heads of a group one after the other within each block. Blocks have
 * RN_ATTENTION_BLOCK tokens, counted from the start of the sequence. Each block of queries of one
 * head is one task of forward and of dq, and each block of keys of one key head is one task of dk
 * and dv. So bits do not depend on the number of threads, and no sums are shared; the price is that
 * backward computes S and dP twice.
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

/** Sizes, and scratch memory of each thread. */
typedef struct rn_attention {
  int heads, kv_heads, width; /* H, G, K */
  int window;                 /* 0: none */
  int threads;
  rn_real *scratch;
} rn_attention;

/** The rows of whole sequences. Shapes: q [B T, H K], k and v [B T, G K] with a common row stride;
 * doc_position [B T]. */
typedef struct rn_attention_view {
  int sequences, tokens;
  const int32_t *doc_position;
  const rn_real *q, *k, *v;
  int64_t ldq, ldkv;
} rn_attention_view;

/** Gradients of backward; dk and dv have the row stride ldkv of the view. */
typedef struct rn_attention_grads {
  const rn_real *d_o; /* [B T, H K] */
  rn_real *dq;        /* [B T, H K] */
  rn_real *dk, *dv;
} rn_attention_grads;

/** Returns the sizes of a spec's attention layers, for the threads that this thread would start. */
rn_attention rn_attention_shape(const rn_spec *spec);
/** Returns the bytes of scratch memory. */
size_t rn_attention_bytes(const rn_attention *shape);
/** Allocates scratch memory. Errors: RN_ERR_MEMORY. */
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
