/**
 * Computes causal softmax attention block by block, so that no array of tokens x tokens is stored.
 *
 *   P[n][m] = softmax over m of q_n . k_m / sqrt(K),   lo(n) <= m <= n,   o_n = sum_m P[n][m] v_m
 *   lo(n) = max(n - doc_position(n), n - window + 1)    the second term applies only with a window
 *
 * With H query heads and G key heads, query head h uses key head h div (H / G). Forward keeps a
 * running maximum and sum of each row (online softmax) and saves lse = maximum + log(sum). Backward
 * recomputes the blocks of P from lse:
 *
 *   delta_n = do_n . o_n,  dP = do v^T,  dS = P (dP - delta)
 *   dq = dS k / sqrt(K),   dk = dS^T q / sqrt(K),   dv = P^T do
 *
 * Blocks have RN_ATTENTION_QUERIES queries or RN_ATTENTION_KEYS keys; their boundaries are at
 * multiples of these numbers, counted from the first key of a sequence. Pairs of blocks in which no
 * query sees a key are skipped. A task of forward is one block of queries of one head. A task of
 * backward is one block of keys of one key head, with the queries of all heads that use this key
 * head; backward computes each block of P once.
 *
 * Order of sums: o and dq are sums over blocks of keys in ascending order. dk and dv are sums over
 * blocks of queries in descending order and, within each block, over the query heads of the key
 * head. Before a task of backward adds to dq, it waits until the task of the previous block of keys
 * has added to dq of the same queries. The bits of the results therefore do not depend on the
 * number of threads.
 *
 * q, k, v, o and d_o may be in bf16. Scores, softmax and sums are then in rn_real; P and dS are
 * rounded to bf16 as operands of products. On CPUs with AVX512_BF16 but without AMX, kernels
 * compute these products (pair_product of model/kernel/kernels.h); otherwise the GEMM backend does.
 *
 * Source: Dao et al., FlashAttention-2 (arXiv 2307.08691); Milakov and Gimelshein, Online
 * normalizer calculation for softmax (arXiv 1805.02867).
 */
#ifndef RN_MODEL_ATTENTION_ATTENTION_H
#define RN_MODEL_ATTENTION_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/spec/spec.h"
#include "proto/base/real.h"
#include "proto/base/status.h"

enum { RN_ATTENTION_QUERIES = RN_SPEC_QUERY_BLOCK, RN_ATTENTION_KEYS = RN_SPEC_KEY_BLOCK };

/** The sizes of attention layers, scratch memory for each thread, and the progress of each task of
 * backward. */
typedef struct rn_attention {
  int heads, kv_heads, width; /* H, G, K */
  int window;                 /* 0: none */
  int max_sequences, max_keys;
  int threads;
  rn_real *scratch;
  struct rn_attention_progress *progress; /* [max_sequences, G, blocks of keys] */
} rn_attention;

/** The queries, keys and values of B sequences. Each sequence has `before` earlier tokens, of which
 * the view has only keys and values, followed by T tokens with queries, keys and values. Shapes: q
 * [B T, H K]; k and v [B (before + T), G K]; doc_position [B T]. */
typedef struct rn_attention_view {
  int sequences, tokens; /* B, T */
  int before;
  int64_t key_stride; /* number of rows of k and v from one sequence to the next; 0: before + T */
  const int32_t *doc_position;
  rn_matrix q, k, v;
} rn_attention_view;

/** The arrays of gradients that backward reads and writes; dq is contiguous, dk and dv have the row
 * stride ldkv. */
typedef struct rn_attention_grads {
  rn_matrix d_o;
  rn_real *dq, *dk, *dv;
  int64_t ldkv;
  bool add; /* true if dk and dv hold sums on entry, to which backward adds */
} rn_attention_grads;

/** Returns the sizes of a spec's attention layers, for rn_threads() threads and views of at most
 * `max_sequences` sequences of at most `max_keys` keys. */
rn_attention rn_attention_shape(const rn_spec *spec, int max_sequences, int max_keys);
/** Returns the number of bytes that rn_attention_create allocates. */
size_t rn_attention_bytes(const rn_attention *shape);
/** Sets *out to the sizes in `shape`, and allocates the memory of *out. Errors: RN_ERR_MEMORY. */
rn_status rn_attention_create(rn_err *err, const rn_attention *shape, rn_attention *out);
void rn_attention_destroy(rn_attention *attention);

/** Computes o [B T, H K] and lse [B T, H]. */
void rn_attention_forward(const rn_attention *attention, const rn_attention_view *view, rn_matrix o,
                          rn_real *lse);

/** Computes the gradients of q, k and v from those of o. Without grads->add, dk and dv of keys that
 * no query sees are 0. delta [B T, H] is work space. */
void rn_attention_backward(const rn_attention *attention, const rn_attention_view *view,
                           rn_matrix o, const rn_real *lse, rn_real *delta,
                           const rn_attention_grads *grads);

#endif
