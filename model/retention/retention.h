/**
 * The retention core: three equivalent forms of one linear recurrence, per sequence and head.
 *
 *   parallel    o_n = sum over m <= n of g^(n-m) (q_n . k_m) v_m
 *   recurrent   S_n = g S_(n-1) + k_n^T v_n,  o_n = q_n S_n
 *   chunkwise   o_i = inner part of the chunk + g^(i+1) q_i R
 *               R <- g^L R + sum over i of g^(L-1-i) k_i^T v_i
 *
 * Documents: `doc_position` counts tokens from the start of the document; no token sees an earlier
 * one.
 * The chunkwise form has phases, so that the inner part hides the transfer of states: begin
 * (contributions of chunks, start of the scan), inner, end (state before each chunk, cross part).
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

/** Rows of a state that one thread updates over all chunks at a time. */
enum { RN_SLAB_ROWS = 16 };

/** Sizes, decay tables and per-thread work space, for segments of at most max_tokens. */
typedef struct rn_retention {
  int heads, key_width, value_width, chunk, max_tokens;
  rn_retention_scale scale;
  double *log_gamma; /* [H] */
  rn_real *power;    /* [H, max_tokens + 1]: g^i */
  rn_real *decay;    /* [H, C + 1]: each row from g^C down to g^0 */
  const rn_kernels *kernels;
  int threads;   /* set at creation; the core never uses more */
  rn_real *work; /* [threads, work_each] */
  int64_t work_each;
  bool bf16; /* operands of chunks are in bf16 */
} rn_retention;

/** View of one unit: `tokens` of `sequences`; q, k, v in the core's type. */
typedef struct rn_retention_view {
  int sequences, tokens;
  const int32_t *doc_position; /* [B, T] */
  rn_matrix q, k, v;           /* rows [B T] of [H, K], [H, K], [H, V] */
} rn_retention_view;

/** States of one segment in the direction of a scan; in REVERSE, adjoints of states. */
typedef struct rn_segment_states {
  rn_real *state;         /* [B, H, K, V] */
  rn_real *received;      /* [B, H, K, V]: copy of the state at the first boundary, or NULL */
  rn_real *contributions; /* [chunks, B, H, K, V]: of chunks, in rn_real */
  rn_array before; /* [chunks, B, H, K, V]: before each chunk; in rn_real may be contributions */
} rn_segment_states;

/** Terms of the chunkwise form: within each chunk, and from the state before it. */
typedef enum {
  RN_TERM_INNER = 1,
  RN_TERM_CROSS = 2,
  RN_TERM_BOTH = RN_TERM_INNER | RN_TERM_CROSS
} rn_retention_terms;

/** What the chunkwise form computes: o, rows [B T] of [H, V], and the row scale alpha [B, T, H]. */
typedef struct rn_retention_output {
  rn_real *o;
  int64_t ldo;
  rn_real *alpha; /* after the cross term; before it, sums of |weights| if the scale needs them */
} rn_retention_output;

/** Gradients: that of o in; those of q, k, v out, as strided rows. */
typedef struct rn_retention_grads {
  rn_matrix d_o;
  rn_real *dq, *dk, *dv;
  int64_t lddq, lddkv; /* row strides of dq, and of dk and dv */
} rn_retention_grads;

/** The sizes for the threads of this process, without memory; and the bytes that they need. */
rn_retention rn_retention_shape(const rn_spec *spec, int max_tokens);
size_t rn_retention_bytes(const rn_retention *shape);

/** Creates the tables for a spec and segments of at most max_tokens. Errors: RN_ERR_MEMORY. */
rn_status rn_retention_create(rn_err *err, const rn_spec *spec, int max_tokens, rn_retention *out);
void rn_retention_destroy(rn_retention *r);

/** Number of chunks of a segment. */
int rn_retention_chunks(const rn_retention *r, int tokens);

/** log of the factor by which a segment decays a state, -inf if a document begins in it: [B, H]. */
void rn_retention_decays(const rn_retention *r, const rn_retention_view *u, double *log_decay);

/** Scratch of the calling thread: four rows of one head; not valid across calls of the core. */
rn_real *rn_retention_scratch(const rn_retention *r);

/** Contributions of the chunks to the state [chunks, B, H, K, V], and their sum, that of the
 * segment, to own [B, H, K, V]. */
void rn_retention_forward_begin(const rn_retention *r, const rn_retention_view *u,
                                rn_real *contributions, rn_real *own);

/** The same for the adjoint, from the gradient of o; summed from the last chunk to the first. */
void rn_retention_backward_begin(const rn_retention *r, const rn_retention_view *u, rn_matrix d_o,
                                 rn_real *contributions, rn_real *own);

/**
 * Computes `before` from the contributions: the state before each chunk in the scan's direction, in
 * REVERSE the adjoint of each chunk's outgoing state. states->state: in, at the segment's first
 * boundary in that direction; out, at its last. states->received, unless NULL, gets a copy of the
 * former.
 */
void rn_retention_propagate(const rn_retention *r, const rn_retention_view *u,
                            rn_scan_direction direction, const rn_segment_states *states);

/**
 * Adds the given terms of o; INNER sets o. RN_TERM_BOTH computes both in one pass over the chunks,
 * if the state has already arrived. `states` [chunks, B, H, K, V]: before each chunk, for CROSS.
 * Overlap: `port` (NULL: none) is polled between chunks by the first thread.
 */
void rn_retention_forward_chunks(const rn_retention *r, const rn_retention_view *u,
                                 const rn_scan_port *port, rn_retention_terms terms,
                                 rn_array states, const rn_retention_output *out);

/** States before the chunks and adjoints of those after them, both [chunks, B, H, K, V]. */
typedef struct rn_chunk_states {
  rn_array before, adjoint_after;
} rn_chunk_states;

/** The same for the gradients of q, k and v. */
void rn_retention_backward_chunks(const rn_retention *r, const rn_retention_view *u,
                                  const rn_scan_port *port, rn_retention_terms terms,
                                  rn_chunk_states states, const rn_retention_grads *grads);

/** The parallel form, computed token by token, in rn_real only: the oracle of the tests. */
void rn_retention_parallel_own(const rn_retention *r, const rn_retention_view *u, rn_real *own);
void rn_retention_parallel_forward(const rn_retention *r, const rn_retention_view *u,
                                   const rn_real *before, rn_real *o, int64_t ldo,
                                   rn_real *row_abs);
void rn_retention_parallel_adjoint_own(const rn_retention *r, const rn_retention_view *u,
                                       rn_matrix d_o, rn_real *own);
void rn_retention_parallel_backward(const rn_retention *r, const rn_retention_view *u,
                                    const rn_real *before, const rn_real *adjoint_after,
                                    const rn_retention_grads *grads);

/** The recurrent form, in rn_real only: continues from and updates state [B, H, K, V]; o NULL:
 * updates the state only. */
void rn_retention_recurrent(const rn_retention *r, const rn_retention_view *u, rn_real *state,
                            rn_real *o, int64_t ldo);

/** S_n = 1 + g + ... + g^n of a head, the row sums of D, in double. */
double rn_retention_row_sum(const rn_retention *r, int head, int64_t n);

/** True if the row scale depends on sums of |weights| (torchscale's two training forms). */
bool rn_retention_scale_needs_weights(const rn_retention *r);

/**
 * The row scale alpha [B, T, H] for the forms without chunks, and for the chunkwise form unless
 * rn_retention_scale_needs_weights.
 *
 *   canonical    1 / sqrt(S_n)
 *   raw          1
 *   ts_*         1 / sqrt(S_n) in the recurrent form, as in the official code
 *   ts_parallel  1 / (sqrt(S_n) clamp(sum |weights| / sqrt(S_n), 1, 5e4)) in the parallel form,
 *                where alpha holds the sums on entry
 *
 * Source: torchscale MultiScaleRetention.
 */
void rn_retention_row_scale(const rn_retention *r, const rn_retention_view *u, rn_form form,
                            rn_real *alpha);

#endif
