/**
 * The table of inner loops: complete in plain C, to be overridden by what the machine can do.
 *
 * Kernels are single-threaded and work on what fits into a core's cache: one chunk of one head, or
 * a range of rows. Whoever calls them cuts the work over threads.
 */
#ifndef RN_MODEL_KERNEL_KERNELS_H
#define RN_MODEL_KERNEL_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "model/names.h"
#include "model/spec.h"
#include "proto/real.h"

/** Rows of scores that are at work together: the causal half above a band is never computed. */
enum { RN_CHUNK_BAND = 64 };

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
  void (*chunk_own)(const rn_chunk *c, const rn_real *k, const rn_real *v, rn_real *work,
                    rn_real *own);
  /** o = ((q k^T) . D) v; abs_sum [i ld_sum] = sum_j |(q k^T) . D|[i][j], or NULL; work [band L].
   */
  void (*chunk_inner)(const rn_chunk *c, const rn_real *q, const rn_real *k, const rn_real *v,
                      rn_real *work, rn_real *o, rn_real *abs_sum, int64_t ld_sum);
  /** o += (q state) . xi; work [L K]. */
  void (*chunk_cross)(const rn_chunk *c, const rn_real *q, const rn_real *state, rn_real *work,
                      rn_real *o);

  /** own [K, V] = q^T (dout . xi); work [L K]. dout has the rows of o. */
  void (*chunk_own_backward)(const rn_chunk *c, const rn_real *q, const rn_real *dout,
                             rn_real *work, rn_real *own);
  /**
   * P = (q k^T) . D, dP = (dout v^T) . D:  dq = dP k, dk = dP^T q, dv = P^T dout;
   * work [2 band L].
   */
  void (*chunk_inner_backward)(const rn_chunk *c, const rn_real *q, const rn_real *k,
                               const rn_real *v, const rn_real *dout, rn_real *work,
                               const rn_chunk_grads *grads);
  /**
   * dq += xi . (dout state^T), dk += zeta . (v adjoint^T), dv += zeta . (k adjoint), with the state
   * before the chunk and the adjoint of the one behind it; work [L max(K, V)].
   */
  void (*chunk_cross_backward)(const rn_chunk *c, const rn_real *k, const rn_real *v,
                               const rn_real *dout, const rn_real *state, const rn_real *adjoint,
                               rn_real *work, const rn_chunk_grads *grads);

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
  /** dz [n] becomes that of y w, g that of the gate's input. */
  void (*gate_backward)(int n, const rn_real *y, const rn_real *w, rn_real *g, rn_real *dz);
} rn_kernels;

/** The plain C set, complete. */
void rn_kernels_ref(rn_kernels *table);

/** The set for this machine: ref, then what each instruction set overrides. */
rn_kernels rn_kernels_pick(void);

#endif
