/**
 * Defines the table of kernels (inner loops). Every kernel exists in plain C and may be overridden
 * per instruction set.
 *
 * Kernels are single-threaded and work on data that fits into the cache of a core: one chunk of one
 * head, or a few rows. The callers split the work over threads. The operands of a chunk's products
 * are either all in rn_real or all in bf16; results are in rn_real.
 */
#ifndef RN_MODEL_KERNEL_KERNELS_H
#define RN_MODEL_KERNEL_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/spec/spec.h"
#include "proto/base/real.h"

/** Number of rows of a tile of scores. A tile ends at the column with the index of its last row,
 * because the causal mask would set later columns to 0. */
enum { RN_CHUNK_TILE = 128 };

/** Maximum length of sums that skinny_gemm and nt_fp64_accumulate compute in double. */
enum { RN_FP64_SUM_MAX = 64 };

/**
 * A chunk of L tokens of one head.
 *
 *   D[i][j] = g^(i-j) if j <= i and both tokens are in one document, else 0
 *   xi[i] = g^(i+1) for i < lead, else 0        decay of the state before the chunk
 *   zeta[m] = g^(L-1-m) for m >= last, else 0   decay of token m in the state after the chunk
 */
typedef struct rn_chunk {
  int tokens, key_width, value_width; /* L, K, V */
  int64_t ldq, ldk, ldv, ldo;         /* row strides; the gradients' strides may differ */
  const rn_real *decay;               /* points into a table: decay[-n] = g^n, n = 0 .. L */
  const int32_t *doc_position;        /* [L] */
  int lead; /* number of rows that belong to a document that began before the chunk */
  int last; /* first row of the chunk's last document, which may continue in the next chunk */
} rn_chunk;

/** A matrix whose element (i, j) is at[i * row + j * col]. */
typedef struct rn_strided {
  const rn_real *at;
  int64_t row, col;
} rn_strided;

/** Two bf16 numbers; the first is in the lower 16 bits, and comes first in memory. */
typedef uint32_t rn_bf16_pair;

/** A matrix of pairs: pair (i, j) begins at element i * row + j * col of `at`. */
typedef struct rn_strided_pairs {
  const rn_bf16 *at;
  int64_t row, col;
} rn_strided_pairs;

/**
 * A product c [m, n] = a [m, k] b [k, n], or c += a b if `add`. a.row or a.col is 1. Each element
 * of c starts with its old value or 0; then its k products are added in ascending order, with fused
 * multiply-adds if the instruction set has them. The bits of an element therefore do not depend on
 * m and n.
 */
typedef struct rn_cached_product {
  int m, n, k;
  rn_strided a;
  const rn_real *b;
  int64_t ldb;
  bool add;
  rn_real *c;
  int64_t ldc;
} rn_cached_product;

/**
 * A product c [m, n] = a b, or c += a b if `add`, of operands in bf16 with sums over 2 * pairs
 * terms. Pair (i, l) of a and pair (l, j) of b [pairs, n] hold terms 2 l and 2 l + 1. a.row or
 * a.col is 2. Each element of c starts with its old value or 0; then its products are added in
 * rn_real, pair by pair, and in each pair the second product first. The bits of an element
 * therefore do not depend on m and n.
 */
typedef struct rn_pair_product {
  int m, n, pairs;
  rn_strided_pairs a;
  const rn_bf16_pair *b;
  int64_t ldb;
  bool add;
  rn_real *c;
  int64_t ldc;
} rn_pair_product;

/** RN_SCORE_QUERIES: maximum number of queries in a block of scores. The arrays of a block have one
 * column per query, padded to a multiple of RN_SCORE_LANES columns; kernels may read and write the
 * padding. */
enum { RN_SCORE_QUERIES = 128, RN_SCORE_LANES = 16 };

/** Columns [begin, end) of a row. */
typedef struct rn_columns {
  int begin, end;
} rn_columns;

/** Scores of a block, transposed: s [keys, queries], row stride ld. The queries that see key m are
 * the columns seen_by[m]. If `pairs` is not NULL, exponentials are stored there as pairs of keys,
 * row stride ld; if the number of keys is odd, the last key is paired with 0. */
typedef struct rn_score_block {
  int keys, queries;
  rn_real scale;
  const rn_columns *seen_by;
  rn_real *s;
  rn_bf16_pair *pairs;
  int64_t ld;
} rn_score_block;

/**
 * The scores s and the gradients dP of two queries, from which softmax_backward_pair computes P and
 * dS in bf16.
 *
 *   P = exp(scale * s - lse),   dS = scale * P * (dP - delta)   for visible keys, else 0
 *
 * P and dS are stored as pairs of queries in p and ds [keys], and dS also by rows in ds_rows. All
 * rows are padded to a multiple of RN_SCORE_LANES elements; kernels may write the padding.
 */
typedef struct rn_softmax_pair {
  int keys;
  rn_real scale, lse[2], delta[2];
  rn_columns seen[2];
  const rn_real *s[2], *dp[2];
  rn_bf16_pair *p, *ds;
  rn_bf16 *ds_rows[2];
} rn_softmax_pair;

/** The gradients of a chunk's q, k and v; dk and dv have the same row stride. */
typedef struct rn_chunk_grads {
  rn_real *dq, *dk, *dv;
  int64_t lddq, lddkv;
} rn_chunk_grads;

/** Sets `lead` and `last` of a chunk from `doc_position`. */
void rn_chunk_cut(rn_chunk *chunk);

typedef struct rn_kernels {
  const char *name;
  bool fast_pairs; /* true if one instruction adds the products of bf16 pairs */

  /** Computes own [K, V] = k^T (v . zeta), the contribution of the chunk to the state; work [L
   * K]. */
  void (*chunk_own)(const rn_chunk *c, rn_array k, rn_array v, rn_real *work, rn_real *own);
  /**
   * Computes o = ((q k^T) . D) v and, unless abs_sum is NULL, abs_sum [i * ld_sum] = sum over j of
   * |(q k^T) . D|[i][j]; work [RN_CHUNK_TILE L], or [2 RN_CHUNK_TILE L] in bf16.
   */
  void (*chunk_inner)(const rn_chunk *c, rn_array q, rn_array k, rn_array v, rn_real *work,
                      rn_real *o, rn_real *abs_sum, int64_t ld_sum);
  /** Computes o += (q state) . xi; work [L K]. */
  void (*chunk_cross)(const rn_chunk *c, rn_array q, rn_array state, rn_real *work, rn_real *o);

  /** Computes own [K, V] = q^T (dout . xi), the contribution of the chunk to the adjoint of
   * the state; work [L K]. dout has the row stride of the output (`chunk_inner`). */
  void (*chunk_own_backward)(const rn_chunk *c, rn_array q, rn_array dout, rn_real *work,
                             rn_real *own);
  /**
   * With P = (q k^T) . D and dP = (dout v^T) . D, computes dq = dP k, dk = dP^T q, dv = P^T dout;
   * work [2 RN_CHUNK_TILE L], or [3 RN_CHUNK_TILE L] in bf16.
   */
  void (*chunk_inner_backward)(const rn_chunk *c, rn_array q, rn_array k, rn_array v, rn_array dout,
                               rn_real *work, const rn_chunk_grads *grads);
  /**
   * Computes dq += xi . (dout state^T), dk += zeta . (v adjoint^T), dv += zeta . (k adjoint), where
   * `state` is the state before the chunk and `adjoint` is the adjoint of the state after the
   * chunk; work [L max(K, V)].
   */
  void (*chunk_cross_backward)(const rn_chunk *c, rn_array k, rn_array v, rn_array dout,
                               rn_array state, rn_array adjoint, rn_real *work,
                               const rn_chunk_grads *grads);

  /** Processes one token of one head: state [K, V] <- decay * state + k^T v, o [V] = q state; o may
   * be NULL. */
  void (*recur)(int key_width, int value_width, rn_real decay, const rn_real *q, const rn_real *k,
                const rn_real *v, rn_real *state, rn_real *o);
  /**
   * Computes y [m, n] = x [m, k] w^T + beta y, with w [n, k]; reads each weight once. Sums of at
   * most RN_FP64_SUM_MAX products are computed in double and rounded once. The bits of an element
   * of y depend only on k and on one row of x and one row of w, not on m, on n, or on how a caller
   * splits m and n.
   */
  void (*skinny_gemm)(int m, int n, int k, const rn_real *x, int64_t ldx, rn_array w, int64_t ldw,
                      rn_real beta, rn_real *y, int64_t ldy);

  /** Rotates one row of all heads: x <- scale * R x, or x <- scale * R^-1 x if `sign` is -1.
   * Shapes: cosine, sine [K/2]. */
  void (*rotate)(rn_rotary rotary, int heads, int key_width, const rn_real *cosine,
                 const rn_real *sine, rn_real sign, rn_real scale, rn_real *x);

  /** Applies the head norm to one row of one head: replaces x [n] by y. Returns the factor that
   * backward needs. */
  rn_real (*head_norm)(rn_head_norm kind, int n, double eps, rn_real alpha, rn_real *x);
  /** Replaces dy [n] by the gradient with respect to the row before the norm. */
  void (*head_norm_backward)(rn_head_norm kind, int n, const rn_real *y, rn_real factor,
                             rn_real *dy);
  /** Computes z [n] = silu(g) * y * w. If g is NULL there is no gate; if w is NULL there is no
   * weight. */
  void (*gate)(int n, const rn_real *y, const rn_real *w, const rn_real *g, rn_real *z);
  /** Replaces dz [n] by the gradient of y * w, and g by the gradient of g; recomputes z [n]. */
  void (*gate_backward)(int n, const rn_real *y, const rn_real *w, rn_real *g, rn_real *dz,
                        rn_real *z);

  /** Computes sum [n] = decay * sum + x. Decay 0 means that a document begins; then sum = x even if
   * sum holds Inf or NaN. */
  void (*decay_and_add)(rn_real decay, int64_t n, const rn_real *x, rn_real *sum);

  /** Applies the norm to one row: y [n] = w (x - m) r + b, stat = {m, r}. If b is NULL there is
   * no bias. See model/ops/norm.h. */
  void (*norm)(rn_block_norm kind, int n, double eps, const rn_real *w, const rn_real *b,
               const rn_real *x, rn_array y, rn_real *stat);
  /** Computes dx [n] = `add` + (the gradient with respect to x). `add` may be NULL; dx may alias
   * dy, `add` or x. */
  void (*norm_backward)(rn_block_norm kind, int n, const rn_real *w, const rn_real *x,
                        const rn_real *stat, const rn_real *dy, const rn_real *add, rn_real *dx);
  /** Adds one row's contribution to the gradients of w and b [n]; db may be NULL. */
  void (*norm_weight)(int n, const rn_real *x, const rn_real *stat, const rn_real *dy, double *dw,
                      double *db);

  /**
   * Computes value [n] = activation(x) and, unless slope is NULL, slope [n] = the derivative at x.
   * value may alias x.
   *
   *   swish(x) = x s(x),  s(x) = 1 / (1 + exp(-x));   slope s (1 + x (1 - s))
   *   gelu(x)  = x F(x),  F the normal distribution;  slope F + x exp(-x^2/2) / sqrt(2 pi)
   */
  void (*activate)(rn_activation activation, int n, const rn_real *x, rn_real *value,
                   rn_real *slope);
  /** Computes product [n] = act(inner), multiplied by gate unless gate is NULL. */
  void (*ffn)(rn_activation activation, int n, const rn_real *inner, const rn_real *gate,
              rn_real *product);
  /** Replaces inner and gate by their gradients; recomputes product [n], which may alias
   * dproduct. */
  void (*ffn_backward)(rn_activation activation, int n, const rn_real *dproduct, rn_real *inner,
                       rn_real *gate, rn_real *product);

  /** Returns the loss of one row of logits [n]. If `gradient`, replaces the logits by scale *
   * (softmax - one_hot). */
  double (*cross_entropy)(int n, rn_real *logits, int32_t target, bool gradient, double scale);

  /** Computes a product of operands that are in cache; none of them is rearranged. */
  void (*cached_product)(const rn_cached_product *product);
  /** Does the same for operands in bf16. NULL in double. */
  void (*pair_product)(const rn_pair_product *product);

  /**
   * Adds the scores of a block to the online softmax of its queries. Query n has the running
   * maximum top[n] and the running sum sum[n]; before the first call, these are -INFINITY and 0.
   * Replaces each score s by exp(scale * s - new maximum), and by 0 where the query does not see
   * the key. With block->pairs, stores the exponentials there instead, rounded to bf16, and adds
   * the unrounded exponentials to sum. Sets fade[n] = exp(old maximum - new maximum), by which the
   * caller must multiply its earlier sums.
   *
   * The exponentials of a block are first summed over its keys in ascending order; then
   * sum = fade * sum + (sum of the block). top, sum and fade have a multiple of RN_SCORE_LANES
   * elements.
   */
  void (*softmax_block)(const rn_score_block *block, rn_real *top, rn_real *sum, rn_real *fade);
  /**
   * Adds the scores s [n], n >= 1, to the online softmax of one query, which has the running
   * maximum *top and the running sum *sum; before the first call, these are -INFINITY and 0.
   * Replaces each score s by exp(s - new maximum). Returns exp(old maximum - new maximum), by which
   * the caller must multiply its earlier sums.
   */
  rn_real (*softmax_add)(int n, rn_real *s, rn_real *top, rn_real *sum);
  /** Does the same as softmax_add, but for the scores scale * s, and also stores the exponentials
   * in p [n], rounded to bf16. Adds the unrounded exponentials to *sum. */
  rn_real (*softmax_round)(int n, rn_real scale, rn_real *s, rn_real *top, rn_real *sum,
                           rn_bf16 *p);
  /** Replaces scores s [n] of one query by probabilities P = exp(scale * s - lse), and dP [n] by
   * dS = scale * P * (dP - delta). */
  void (*softmax_backward)(int n, rn_real scale, rn_real lse, rn_real delta, rn_real *s,
                           rn_real *dp);
  /** Computes P and dS of two queries; see rn_softmax_pair. NULL in double. */
  void (*softmax_backward_pair)(const rn_softmax_pair *pair);

  /** Rounds x to bf16, to nearest even; NaN stays NaN. */
  void (*round_bf16)(int64_t n, const rn_real *x, rn_bf16 *y);
  /** Sets pairs[i] to first[i] and second[i]. */
  void (*pair_bf16)(int64_t n, const rn_bf16 *first, const rn_bf16 *second, rn_bf16_pair *pairs);
  /** Multiplies column j of x [rows, cols], row stride ld, by scale[j]. */
  void (*scale_columns)(int rows, int cols, const rn_real *scale, rn_real *x, int64_t ld);
  /** Converts bf16 to rn_real, exactly. */
  void (*widen_bf16)(int64_t n, const rn_bf16 *x, rn_real *y);
} rn_kernels;

/** Returns the kernel set in use: the set chosen by rn_kernels_use, or else the set with the widest
 * vectors that this CPU supports. */
const rn_kernels *rn_kernels_table(void);

/**
 * Chooses a kernel set for this process; call before any model is created. Set 0 is ref, plain C;
 * higher numbers have wider vectors. Returns false if this build or CPU has no such set.
 */
bool rn_kernels_use(int index);

/** True if this build and CPU have the kernel set of this name, for example "avx2". */
bool rn_kernels_supported(const char *name);

/** Returns the number of the kernel set in use, as for rn_kernels_use. */
int rn_kernels_index(void);

#endif
