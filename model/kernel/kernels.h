/**
 * The table of inner loops: complete in plain C, to be overridden by what the machine can do.
 *
 * Kernels are single-threaded and work on what fits into a core's cache: one chunk of one head, or
 * a range of rows. Whoever calls them cuts the work over threads. Operands of a chunk's products
 * are in rn_real, or all in bf16; what products give, and rows, are in rn_real.
 */
#ifndef RN_MODEL_KERNEL_KERNELS_H
#define RN_MODEL_KERNEL_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/spec/spec.h"
#include "proto/base/real.h"

/** Rows of scores that are at work together: the causal half above a band is never computed. */
enum { RN_CHUNK_BAND = 128 };

/** The longest sum that skinny_gemm makes in double: that of the products' nt_fp64_accumulate. */
enum { RN_FP64_SUM_MAX = 64 };

/**
 * One chunk of L tokens of one head.
 *
 *   D[i][j] = g^(i-j) where j <= i and both are of one document, else 0
 *   xi[i] = g^(i+1) for i < lead, else 0        what came before fades, and ends with its document
 *   zeta[m] = g^(L-1-m) for m >= last, else 0   only the last document goes on
 */
typedef struct rn_chunk {
  int tokens, key_width, value_width; /* L, K, V */
  int64_t ldq, ldk, ldv, ldo;         /* distances of rows; gradients may have others */
  const rn_real *decay;               /* decay[-n] = g^n, n = 0 .. L */
  const int32_t *since;               /* [L] */
  int lead;                           /* rows that belong to a document begun before the chunk */
  int last;                           /* first row of the document that goes on behind the chunk */
} rn_chunk;

/** Gradients of a chunk's q, k, v; the rows of dk and dv have one distance. */
typedef struct rn_chunk_grads {
  rn_real *dq, *dk, *dv;
  int64_t lddq, lddkv;
} rn_chunk_grads;

/** `lead` and `last` of a chunk from its `since`. */
void rn_chunk_cut(rn_chunk *chunk);

typedef struct rn_kernels {
  const char *name;

  /** own [K, V] = k^T (v . zeta); work [L K]. */
  void (*chunk_own)(const rn_chunk *c, rn_array k, rn_array v, rn_real *work, rn_real *own);
  /**
   * o = ((q k^T) . D) v; abs_sum [i ld_sum] = sum_j |(q k^T) . D|[i][j], or NULL; work [band L],
   * twice that in bf16.
   */
  void (*chunk_inner)(const rn_chunk *c, rn_array q, rn_array k, rn_array v, rn_real *work,
                      rn_real *o, rn_real *abs_sum, int64_t ld_sum);
  /** o += (q state) . xi; work [L K]. */
  void (*chunk_cross)(const rn_chunk *c, rn_array q, rn_array state, rn_real *work, rn_real *o);

  /** own [K, V] = q^T (dout . xi); work [L K]. dout has the rows of o. */
  void (*chunk_own_backward)(const rn_chunk *c, rn_array q, rn_array dout, rn_real *work,
                             rn_real *own);
  /**
   * P = (q k^T) . D, dP = (dout v^T) . D:  dq = dP k, dk = dP^T q, dv = P^T dout;
   * work [2 band L], [3 band L] in bf16.
   */
  void (*chunk_inner_backward)(const rn_chunk *c, rn_array q, rn_array k, rn_array v, rn_array dout,
                               rn_real *work, const rn_chunk_grads *grads);
  /**
   * dq += xi . (dout state^T), dk += zeta . (v adjoint^T), dv += zeta . (k adjoint), with the state
   * before the chunk and the adjoint of the one behind it; work [L max(K, V)].
   */
  void (*chunk_cross_backward)(const rn_chunk *c, rn_array k, rn_array v, rn_array dout,
                               rn_array state, rn_array adjoint, rn_real *work,
                               const rn_chunk_grads *grads);

  /** One token of one head: state [K, V] <- decay state + k^T v, o [V] = q state; o NULL: none. */
  void (*recur)(int key_width, int value_width, rn_real decay, const rn_real *q, const rn_real *k,
                const rn_real *v, rn_real *state, rn_real *o);
  /**
   * y [m, n] = x [m, k] w^T + beta y, w [n, k]: each weight is read once. Sums of at most
   * RN_FP64_SUM_MAX are made in double and rounded once. An element's bits depend on its own row,
   * weights and k alone: not on m, n, nor on how they are cut.
   */
  void (*skinny_gemm)(int m, int n, int k, const rn_real *x, int64_t ldx, rn_array w, int64_t ldw,
                      rn_real beta, rn_real *y, int64_t ldy);

  /** One row of all heads: x <- scale R x; `turn` -1 turns back. Shapes: cosine, sine [K/2]. */
  void (*rotate)(rn_rotary rotary, int heads, int key_width, const rn_real *cosine,
                 const rn_real *sine, rn_real turn, rn_real scale, rn_real *x);

  /** One row of one head, in place: x [n] becomes y; returns the factor that backward needs. */
  rn_real (*head_norm)(rn_head_norm kind, int n, double eps, rn_real alpha, rn_real *x);
  /** dy [n] becomes the gradient by the raw row. */
  void (*head_norm_backward)(rn_head_norm kind, int n, const rn_real *y, rn_real factor,
                             rn_real *dy);
  /** z [n] = silu(g) y w; g NULL: no gate, w NULL: no weight. */
  void (*gate)(int n, const rn_real *y, const rn_real *w, const rn_real *g, rn_real *z);
  /** dz [n] becomes that of y w, g that of the gate's input; z [n] is made once more. */
  void (*gate_backward)(int n, const rn_real *y, const rn_real *w, rn_real *g, rn_real *dz,
                        rn_real *z);

  /** sum [n] = fading sum + part; beyond a document's end (fading 0) it is replaced, whatever it
   * holds. */
  void (*fade_and_add)(rn_real fading, int64_t n, const rn_real *part, rn_real *sum);

  /** One row: y [n] = w (x - m) r + b, stat = {m, r}; b NULL: none. See model/ops/norm.h. */
  void (*norm)(rn_block_norm kind, int n, double eps, const rn_real *w, const rn_real *b,
               const rn_real *x, rn_array y, rn_real *stat);
  /** dx [n] = add + gradient by x; add NULL: none; dx may be dy, add or x. */
  void (*norm_backward)(rn_block_norm kind, int n, const rn_real *w, const rn_real *x,
                        const rn_real *stat, const rn_real *dy, const rn_real *add, rn_real *dx);
  /** What one row adds to the gradients of w and b [n]; db NULL: none. */
  void (*norm_weight)(int n, const rn_real *x, const rn_real *stat, const rn_real *dy, double *dw,
                      double *db);

  /**
   * value [n] = activation(x), and its slope unless NULL; value may be x.
   *
   *   swish(x) = x s(x),  s(x) = 1 / (1 + exp(-x));   slope s (1 + x (1 - s))
   *   gelu(x)  = x F(x),  F the normal distribution;  slope F + x exp(-x^2/2) / sqrt(2 pi)
   */
  void (*activate)(rn_activation activation, int n, const rn_real *x, rn_real *value,
                   rn_real *slope);
  /** product [n] = act(inner [n]), times inner [n .. 2n] with glu. */
  void (*ffn)(rn_ffn kind, rn_activation activation, int n, const rn_real *inner, rn_real *product);
  /** inner becomes its own gradient; product [n], which may be dproduct, is made once more. */
  void (*ffn_backward)(rn_ffn kind, rn_activation activation, int n, const rn_real *dproduct,
                       rn_real *inner, rn_real *product);

  /** Loss of one row of logits [n], which become scale (softmax - one at target) if `gradient`. */
  double (*cross_entropy)(int n, rn_real *logits, int32_t target, bool gradient, double scale);

  /** y [n] = x rounded to bf16, to nearest and ties to even; NaN stays. And x as rn_real. */
  void (*round_bf16)(int64_t n, const rn_real *x, rn_bf16 *y);
  void (*widen_bf16)(int64_t n, const rn_bf16 *x, rn_real *y);
} rn_kernels;

/** The set in use: the widest that this CPU has, or the one chosen for a test. */
const rn_kernels *rn_kernels_table(void);

/**
 * Chooses a set for this process, before any model is made: 0 is ref, the plain C one; higher
 * numbers are wider. False where this build or CPU has no such set.
 */
bool rn_kernels_use(int number);

#endif
