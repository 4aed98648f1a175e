/**
 * Computes retention in three equivalent forms of one linear recurrence, for each sequence and
 * head.
 *
 *   parallel    o_n = sum over m <= n of g^(n-m) (q_n . k_m) v_m
 *   recurrent   S_n = g S_(n-1) + k_n^T v_n,  o_n = q_n S_n
 *   chunkwise   o_i = inner part of the chunk + g^(i+1) q_i R
 *               R <- g^L R + sum over i of g^(L-1-i) k_i^T v_i
 *
 * In the chunkwise form, R is the state before the chunk, L is the number of tokens of the chunk,
 * and i counts its tokens from 0. The form runs in phases: begin (contributions of chunks, start of
 * the scan), inner part, end (state before each chunk, cross part). The inner part hides the
 * transfer of states.
 *
 * `doc_position` counts tokens from the start of the document; no token sees tokens of an earlier
 * document.
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

/** Number of elements in a slab. A slab is a range of elements of a head's state; one task updates
 * a slab over all chunks. Slabs are small enough that the states of a few heads give enough tasks
 * for many threads. */
enum { RN_SLAB_ELEMENTS = 1024 };

/** The sizes, the decay tables, and work space for each thread, for segments of at most max_tokens
 * tokens. If decays depend on the layer, the pointers to the tables point to those of the first
 * layer; rn_retention_of_layer returns a copy that points to those of another layer. */
typedef struct rn_retention {
  int heads, key_width, value_width, chunk, max_tokens;
  rn_retention_scale scale;
  int tables;        /* 1, or L if decays depend on the layer */
  double *log_gamma; /* [tables, H] */
  rn_real *power;    /* [tables, H, max_tokens + 1]: g^i */
  rn_real *decay;    /* [tables, H, C + 1]: each row from g^C down to g^0 */
  const rn_kernels *kernels;
  int threads;       /* maximum number of threads; set at creation */
  rn_real *work;     /* [threads, work_each] */
  int64_t work_each; /* a multiple of a cache line */
  bool bf16;         /* true if the operands of chunks are in bf16 */
} rn_retention;

/** The queries, keys and values of one unit: `tokens` tokens of each of `sequences` sequences. In
 * the chunkwise form, q, k and v are in bf16 if rn_retention.bf16 is true; otherwise, they are in
 * rn_real. */
typedef struct rn_retention_view {
  int sequences, tokens;
  const int32_t *doc_position; /* [B, T] */
  rn_matrix q, k, v;           /* [B T] rows; a row of q or k is [H, K], a row of v [H, V] */
} rn_retention_view;

/** The states of one segment, in the direction of a scan. For REVERSE scans, they are adjoints
 * of states. */
typedef struct rn_segment_states {
  rn_real *state;         /* [B, H, K, V] */
  rn_real *received;      /* [B, H, K, V] or NULL: output, a copy of `state` as it is on entry */
  rn_real *contributions; /* [chunks, B, H, K, V]: contributions of chunks, in rn_real */
  rn_array before;        /* [chunks, B, H, K, V]: state before each chunk; in rn_real may alias
                             contributions */
} rn_segment_states;

/** The terms of the chunkwise form. INNER: contribution of tokens of the same chunk. CROSS:
 * contribution of the state before the chunk. */
typedef enum {
  RN_TERM_INNER = 1,
  RN_TERM_CROSS = 2,
  RN_TERM_BOTH = RN_TERM_INNER | RN_TERM_CROSS
} rn_retention_terms;

/** The output of the chunkwise form: o, [B T] rows of [H, V], and the row scale alpha [B, T, H]. */
typedef struct rn_retention_output {
  rn_real *o;
  int64_t ldo;
  rn_real *alpha; /* valid once the cross term has been computed; between the inner and the cross
                     term, holds the sums of |weights| if the scale needs them */
} rn_retention_output;

/** Gradients: d_o is the input; dq, dk and dv are the output, as strided rows. */
typedef struct rn_retention_grads {
  rn_matrix d_o;
  rn_real *dq, *dk, *dv;
  int64_t lddq, lddkv; /* row strides of dq, and of dk and dv */
} rn_retention_grads;

/** Returns an rn_retention that has sizes, for rn_threads() threads, but no memory. */
rn_retention rn_retention_shape(const rn_spec *spec, int max_tokens);
/** Returns the number of bytes that rn_retention_create allocates for this shape. */
size_t rn_retention_bytes(const rn_retention *shape);

/** Creates the tables and work space for a spec and segments of at most max_tokens tokens. Errors:
 * RN_ERR_MEMORY. */
rn_status rn_retention_create(rn_err *err, const rn_spec *spec, int max_tokens, rn_retention *out);

/** Returns a copy of *r that uses the decays of a layer of the model. Ownership: the copy points
 * into the memory of `r`. */
rn_retention rn_retention_of_layer(const rn_retention *r, int layer);
void rn_retention_destroy(rn_retention *r);

/** Returns the number of slabs into which the states of all heads of a unit are cut. Each slab is a
 * task when contributions of chunks are summed and when states are propagated. */
int64_t rn_retention_slabs(const rn_retention *r, int sequences);

/** True if a document begins in `tokens` consecutive rows. */
static inline bool rn_retention_has_boundary(const int32_t *doc_position, int tokens) {
  /* true if the last row's document begins in these rows */
  return tokens > 0 && doc_position[tokens - 1] < tokens;
}

/** Returns the number of chunks of a segment. */
int rn_retention_chunks(const rn_retention *r, int tokens);

/** Computes log_decay [B, H], the log of the factor by which a segment decays a state; -inf if a
 * document begins in the segment. */
void rn_retention_decays(const rn_retention *r, const rn_retention_view *u, double *log_decay);

/** Returns scratch of the calling thread: four rows of one head, or one row of the block's input in
 * double. The next call of a function of this file overwrites it. */
rn_real *rn_retention_scratch(const rn_retention *r);

/** Computes the contributions [chunks, B, H, K, V] of the chunks to the state, and own [B, H, K,
 * V], the contribution of the whole segment. */
void rn_retention_forward_begin(const rn_retention *r, const rn_retention_view *u,
                                rn_real *contributions, rn_real *own);

/** Computes the contributions of the chunks and of the whole segment to the adjoint from the
 * gradient of o. Shapes are as in rn_retention_forward_begin. The contribution of the segment is
 * summed from the last chunk to the first. */
void rn_retention_backward_begin(const rn_retention *r, const rn_retention_view *u, rn_matrix d_o,
                                 rn_real *contributions, rn_real *own);

/**
 * Computes `before` from the contributions: the state before each chunk, or for REVERSE the adjoint
 * of the state after each chunk. On entry, states->state is the state at the segment's first
 * boundary in the direction of the scan; on return, at the last boundary. Unless states->received
 * is NULL, first copies states->state to states->received.
 */
void rn_retention_propagate(const rn_retention *r, const rn_retention_view *u,
                            rn_scan_direction direction, const rn_segment_states *states);

/**
 * Computes the given terms of o: INNER sets o, CROSS adds to it. RN_TERM_BOTH computes both terms
 * in one pass over the chunks, for the case that the state has already arrived. `states` [chunks,
 * B, H, K, V] are the states before the chunks, which CROSS reads. Overlap: unless `port` is NULL,
 * the first thread polls it between chunks.
 */
void rn_retention_forward_chunks(const rn_retention *r, const rn_retention_view *u,
                                 const rn_scan_port *port, rn_retention_terms terms,
                                 rn_array states, const rn_retention_output *out);

/** The states before the chunks, and the adjoints of the states after the chunks; both [chunks,
 * B, H, K, V]. */
typedef struct rn_chunk_states {
  rn_array before, adjoint_after;
} rn_chunk_states;

/** Computes the given terms of the gradients of q, k and v; the terms and `port` are as in
 * rn_retention_forward_chunks. */
void rn_retention_backward_chunks(const rn_retention *r, const rn_retention_view *u,
                                  const rn_scan_port *port, rn_retention_terms terms,
                                  rn_chunk_states states, const rn_retention_grads *grads);

/** These functions compute the parallel form token by token, in rn_real only. They are the
 * reference for tests. */
void rn_retention_parallel_own(const rn_retention *r, const rn_retention_view *u, rn_real *own);
void rn_retention_parallel_forward(const rn_retention *r, const rn_retention_view *u,
                                   const rn_real *before, rn_real *o, int64_t ldo,
                                   rn_real *row_abs);
void rn_retention_parallel_adjoint_own(const rn_retention *r, const rn_retention_view *u,
                                       rn_matrix d_o, rn_real *own);
void rn_retention_parallel_backward(const rn_retention *r, const rn_retention_view *u,
                                    const rn_real *before, const rn_real *adjoint_after,
                                    const rn_retention_grads *grads);

/** Computes the recurrent form, in rn_real only. Starts from `state` [B, H, K, V] and updates
 * it; if o is NULL, only updates the state. */
void rn_retention_recurrent(const rn_retention *r, const rn_retention_view *u, rn_real *state,
                            rn_real *o, int64_t ldo);

/** Returns S_n = 1 + g + ... + g^n of a head, the sum of row n of D, in double. */
double rn_retention_row_sum(const rn_retention *r, int head, int64_t n);

/** True if the row scale depends on sums of |weights|, as in torchscale's two training forms. */
bool rn_retention_scale_needs_weights(const rn_retention *r);

/**
 * Computes the row scale alpha [B, T, H]. Used for the forms without chunks, and for the chunkwise
 * form only if rn_retention_scale_needs_weights returns false.
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
