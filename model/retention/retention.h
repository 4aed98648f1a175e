/**
 * The retention core: three equal forms of one linear recurrence, per sequence and head.
 *
 *   parallel    o_n = sum over m <= n of g^(n-m) (q_n . k_m) v_m
 *   recurrent   S_n = g S_(n-1) + k_n^T v_n,  o_n = q_n S_n
 *   chunkwise   o_i = inner part of the chunk + g^(i+1) q_i R
 *               R <- g^L R + sum over i of g^(L-1-i) k_i^T v_i
 *
 * Documents: `since` counts tokens from the start of the document; nothing before it is seen.
 * Chunkwise work comes in phases, so that the transfer of states hides behind the inner part:
 * begin (contributions of chunks, start of the scan), inner, end (state before each chunk, cross).
 *
 * Source: Sun et al., Retentive Network (arXiv 2307.08621), eq. 5-7; g is gamma.
 * Shapes: q, k [B, T, H, K] and v, o [B, T, H, V] as strided rows; states [chunks, B, H, K, V].
 */
#ifndef RN_MODEL_RETENTION_RETENTION_H
#define RN_MODEL_RETENTION_RETENTION_H

#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/kernel/kernels.h"
#include "model/spec/spec.h"
#include "proto/ports/scan_port.h"

/** Rows of a state that one thread folds over all chunks at a time. */
enum { RN_SLAB_ROWS = 16 };

/** Sizes, decay tables and work space of threads, made once for pieces of at most max_tokens. */
typedef struct rn_retention {
  int heads, key_width, value_width, chunk, max_tokens;
  rn_retention_scale scale;
  double *log_gamma; /* [H] */
  rn_real *power;    /* [H, max_tokens + 1]: g^i */
  rn_real *decay;    /* [H, C + 1]: each row from g^C down to g^0 */
  const rn_kernels *kernels;
  int threads;   /* set when the core was made; it never uses more */
  rn_real *work; /* [threads, work_each] */
  int64_t work_each;
  bool bf16; /* operands of chunks are in bf16 */
} rn_retention;

/** One unit's view: `tokens` of `sequences`; rows of q, k, v, o are ld apart, in the core's type.
 */
typedef struct rn_retention_view {
  int sequences, tokens;
  const int32_t *since; /* [B, T] */
  rn_array q, k, v;
  int64_t ldq, ldk, ldv;
} rn_retention_view;

/** The sizes alone, for this process's threads, and the bytes that tables of these sizes take. */
rn_retention rn_retention_shape(const rn_spec *spec, int max_tokens);
size_t rn_retention_bytes(const rn_retention *shape);

/** Tables for a spec and pieces of at most max_tokens. Errors: RN_ERR_MEMORY. */
rn_status rn_retention_create(rn_err *err, const rn_spec *spec, int max_tokens, rn_retention *out);
void rn_retention_destroy(rn_retention *r);

/** Chunks of a piece. */
int rn_retention_chunks(const rn_retention *r, int tokens);

/** log of the factor by which the piece fades a state, -inf across a boundary: [B, H]. */
void rn_retention_decays(const rn_retention *r, const rn_retention_view *u, double *log_decay);

/** Room of the calling thread for three rows of a head, between chunks. */
rn_real *rn_retention_scratch(const rn_retention *r);

/** Contributions of chunks into parts, the piece's own [B, H, K, V] folded from them. */
void rn_retention_forward_begin(const rn_retention *r, const rn_retention_view *u, rn_real *parts,
                                rn_real *own);

/** o = inner part; row_abs [B, T, H] = sum |weights| of each row where the scale asks for it. */
void rn_retention_forward_inner(const rn_retention *r, const rn_retention_view *u,
                                const rn_scan_port *port, rn_real *o, int64_t ldo,
                                rn_real *row_abs);

/**
 * states from parts are those before each chunk. state [B, H, K, V]: in, the one before the piece;
 * out, the one after it. states in rn_real may be parts themselves.
 */
void rn_retention_forward_states(const rn_retention *r, const rn_retention_view *u, rn_real *state,
                                 rn_real *parts, rn_array states);

/**
 * o += cross part, from the states before each chunk; alpha [B, T, H] is the row scale.
 * Overlap: `port` (NULL: none) is polled for the sake of what was sent last.
 */
void rn_retention_forward_cross(const rn_retention *r, const rn_retention_view *u,
                                const rn_scan_port *port, rn_array states, rn_real *o, int64_t ldo,
                                rn_real *alpha);

/** forward_inner and forward_cross at once, while a chunk is near: where the state has come. */
void rn_retention_forward_chunks(const rn_retention *r, const rn_retention_view *u,
                                 const rn_scan_port *port, rn_array states, rn_real *o, int64_t ldo,
                                 rn_real *alpha);

/** Contributions of chunks to the adjoint: parts [chunks, B, H, K, V], own folded backwards. */
void rn_retention_backward_begin(const rn_retention *r, const rn_retention_view *u, rn_array d_o,
                                 int64_t ldo, rn_real *parts, rn_real *own);

/** Gradients of q [B, T, H, K], k, v as strided rows; those of dk and dv are lddkv apart. */
typedef struct rn_retention_grads {
  rn_real *dq, *dk, *dv;
  int64_t lddq, lddkv;
} rn_retention_grads;

/** The gradients are inner parts. */
void rn_retention_backward_inner(const rn_retention *r, const rn_retention_view *u,
                                 const rn_scan_port *port, rn_array d_o, int64_t ldo,
                                 const rn_retention_grads *grads);

/**
 * adjoints from parts are those of each chunk's outgoing state. adjoint [B, H, K, V]: in, that of
 * the state after the piece; out, of the one before it. adjoints in rn_real may be parts
 * themselves.
 */
void rn_retention_backward_states(const rn_retention *r, const rn_retention_view *u,
                                  rn_real *adjoint, rn_real *parts, rn_array adjoints);

/** Cross parts are added to the gradients; `port` as in forward_cross. */
void rn_retention_backward_cross(const rn_retention *r, const rn_retention_view *u,
                                 const rn_scan_port *port, rn_array d_o, int64_t ldo,
                                 rn_array states, rn_array adjoints,
                                 const rn_retention_grads *grads);

/** backward_inner and backward_cross at once, as forward_chunks. */
void rn_retention_backward_chunks(const rn_retention *r, const rn_retention_view *u,
                                  const rn_scan_port *port, rn_array d_o, int64_t ldo,
                                  rn_array states, rn_array adjoints,
                                  const rn_retention_grads *grads);

/** The parallel form, token by token and plain, in rn_real only: the oracle of the tests. */
void rn_retention_parallel_own(const rn_retention *r, const rn_retention_view *u, rn_real *own);
void rn_retention_parallel_forward(const rn_retention *r, const rn_retention_view *u,
                                   const rn_real *before, rn_real *o, int64_t ldo,
                                   rn_real *row_abs);
void rn_retention_parallel_adjoint_own(const rn_retention *r, const rn_retention_view *u,
                                       const rn_real *d_o, int64_t ldo, rn_real *own);
void rn_retention_parallel_backward(const rn_retention *r, const rn_retention_view *u,
                                    const rn_real *d_o, int64_t ldo, const rn_real *before,
                                    const rn_real *behind, rn_real *dq, int64_t lddq, rn_real *dk,
                                    rn_real *dv, int64_t lddkv);

/** The recurrent form, in rn_real only: state [B, H, K, V] goes on from its value; o may be NULL
 * (state only). */
void rn_retention_recurrent(const rn_retention *r, const rn_retention_view *u, rn_real *state,
                            rn_real *o, int64_t ldo);

/** S_n = 1 + g + ... + g^n of a head, the row sums of D, in double. */
double rn_retention_row_sum(const rn_retention *r, int head, int64_t n);

/** Whether the scale at hand is made from sums of |weights| (torchscale's two training forms). */
bool rn_retention_scale_needs_weights(const rn_retention *r);

/**
 * The row scale alpha [B, T, H] that the model's scale gives a form without chunks.
 *
 *   canonical 1 / sqrt(S_n);  raw 1;  ts_* in the recurrent form 1 / sqrt(S_n), as the official
 * code; ts_parallel 1 / (sqrt(S_n) clamp(sum |weights| / sqrt(S_n), 1, 5e4)), the sums being in
 * alpha.
 *
 * Source: torchscale MultiScaleRetention.
 */
void rn_retention_row_scale(const rn_retention *r, const rn_retention_view *u, rn_form form,
                            rn_real *alpha);

#endif
