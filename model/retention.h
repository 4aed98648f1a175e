/**
 * The retention core of one piece of a few sequences, in three equal forms.
 *
 *   S_n = g S_{n-1} + k_n^T v_n,   o_n = q_n S_n          S_n = k_n^T v_n where a document begins
 *
 * Work goes in phases, so that the transfer of states hides behind the inner part:
 * own -> [port begin] -> inner -> [port end] -> cross; backward is its mirror image.
 * Source: Sun et al., Retentive Network (arXiv 2307.08621), eq. 5 to 7; g is gamma.
 */
#ifndef RN_MODEL_RETENTION_H
#define RN_MODEL_RETENTION_H

#include <stdint.h>

#include "model/names.h"
#include "model/spec.h"
#include "proto/real.h"

typedef struct rn_retention_shape {
  int heads, key_width, value_width; /* H, K, V */
  int chunk;                         /* C: tokens that the chunkwise form takes together */
} rn_retention_shape;

/** Rows of a piece: (b, t) of head h begins at q + (b T + t) ldq + h K; not owned. */
typedef struct rn_retention_rows {
  int sequences, tokens; /* B, T; T may be 0 */
  const int32_t *since;  /* [B, T] tokens since the document began: 0, or the one before plus 1 */
  const rn_real *q, *k, *v;
  int64_t ldq, ldk, ldv;
} rn_retention_rows;

/** Gradients in the layout of the rows. */
typedef struct rn_retention_grads {
  rn_real *dq, *dk, *dv;
  int64_t lddq, lddk, lddv;
} rn_retention_grads;

typedef struct rn_retention rn_retention;

/** Called by the first thread now and then while a phase runs; for the port's poll. */
typedef struct rn_retention_pulse {
  void (*beat)(void *self);
  void *self;
} rn_retention_pulse;

/**
 * Decay tables and work memory, for pieces of at most `max_tokens` (of any number of sequences).
 * log_gamma [H] is copied. Work memory is for the OpenMP threads set now. Errors: RN_ERR_MEMORY.
 */
rn_status rn_retention_create(rn_err *err, rn_retention_shape shape, const double *log_gamma,
                              int max_tokens, rn_retention **out);
void rn_retention_destroy(rn_retention **core);

/** Chunks of a piece of T tokens: ceil(T / C). */
int rn_retention_chunks(const rn_retention *core, int tokens);

/** log a [B H]: what a piece leaves of the state before it, g^T; -inf if a document begins in it.
 */
void rn_retention_log_decay(const rn_retention *core, const rn_retention_rows *rows,
                            double *log_decay);

/** S_n = 1 + g + ... + g^n, of head h, in double. */
double rn_retention_row_sum(const rn_retention *core, int head, int64_t n);

/**
 * Phase 1: what the piece adds to the state, own [B H, K, V], as if none came before.
 *
 * Shapes: states [chunks, B, H, K, V]: the same of every chunk (CHUNKWISE only, else NULL).
 */
void rn_retention_own(rn_retention *core, rn_form form, const rn_retention_rows *rows,
                      rn_real *states, rn_real *own);

/**
 * Phase 2: o = ((q k^T) . D) v within each chunk (PARALLEL: within the piece; RECURRENT: nothing).
 *
 * Shapes: o as v, ldo; abs_sum [B T, H] or NULL: the rows' sums of |(q k^T) . D|.
 */
void rn_retention_inner(rn_retention *core, rn_form form, const rn_retention_rows *rows, rn_real *o,
                        int64_t ldo, rn_real *abs_sum, rn_retention_pulse pulse);

/**
 * Phase 3: o += (q before) . xi, with the state before each chunk (RECURRENT: the whole of o).
 *
 * Shapes: before [B H, K, V]: the state in front of the piece; states: of phase 1, becomes the
 *         states before every chunk; after [B H, K, V] or NULL: the state behind the piece.
 */
void rn_retention_cross(rn_retention *core, rn_form form, const rn_retention_rows *rows,
                        const rn_real *before, rn_real *states, rn_real *after, rn_real *o,
                        int64_t ldo);

/**
 * Backward phase 1: what the piece adds to the adjoint of the state before it, own [B H, K, V].
 *
 * Shapes: dout as v, lddo; adjoints [chunks, B, H, K, V] as `states` (CHUNKWISE only, else NULL).
 *         The forms with a backward are CHUNKWISE and PARALLEL.
 */
void rn_retention_own_backward(rn_retention *core, rn_form form, const rn_retention_rows *rows,
                               const rn_real *dout, int64_t lddo, rn_real *adjoints, rn_real *own);

/** Backward phase 2: sets dq, dk, dv to the parts within chunks (PARALLEL: within the piece). */
void rn_retention_inner_backward(rn_retention *core, rn_form form, const rn_retention_rows *rows,
                                 const rn_real *dout, int64_t lddo, const rn_retention_grads *grads,
                                 rn_retention_pulse pulse);

/**
 * Backward phase 3: adds the parts that went through states.
 *
 * Shapes: before [B H, K, V]: of the forward (PARALLEL; else NULL); states: after the forward's
 *         phase 3 (CHUNKWISE; else NULL); behind [B H, K, V]: the adjoint of the state behind the
 *         piece; adjoints: of backward phase 1, becomes the adjoints of the states behind every
 *         chunk; front [B H, K, V] or NULL: the adjoint of the state in front of the piece.
 */
void rn_retention_cross_backward(rn_retention *core, rn_form form, const rn_retention_rows *rows,
                                 const rn_real *dout, int64_t lddo, const rn_real *before,
                                 const rn_real *states, const rn_real *behind, rn_real *adjoints,
                                 rn_real *front, const rn_retention_grads *grads);

#endif
