/**
 * The multi-scale retention block of a layer, without its norm and residual.
 *
 *   k = rot(x Wk^T / sqrt(K)), v = x Wv^T, q = rot(x Wq^T), g = x Wg^T
 *   y = (silu(g) * headnorm(alpha * retention(q, k, v))) Wo^T
 *
 * Forward runs in this order: first what the scan needs, then work that hides the scan, then work
 * that needs its result. Source: Sun et al., Retentive Network (2307.08621), eq. 8 and 9.
 */
#ifndef RN_MODEL_RETENTION_BLOCK_RETENTION_H
#define RN_MODEL_RETENTION_BLOCK_RETENTION_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/memory/workspace.h"
#include "model/ops/grad_accumulator.h"
#include "model/ops/norm.h"
#include "model/pass/pass.h"
#include "model/pass/rows.h"
#include "model/retention/head_norm.h"
#include "model/retention/retention.h"
#include "model/retention/rotary.h"
#include "model/spec/param.h"
#include "proto/base/status.h"
#include "proto/ports/scan_port.h"

/** Sizes and tables, the same for all layers of a stage; rotary is moved to the unit that runs. */
typedef struct rn_block_retention {
  int dim, value_dim, heads, key_width, value_width; /* D, H V, H, K, V */
  int pair, ld_pair; /* columns of kv and of qg, D + H V, and their row stride */
  int ld_gated;      /* row stride of gated */
  int max_sequences, max_tokens;
  bool gate;
  bool bf16; /* rows and states are stored and multiplied in bf16 */
  rn_head_norm head_norm;
  double eps;
  rn_retention core;
  rn_rotary_table rotary;
  const rn_bf16 *weights; /* the stage's weights in bf16, or NULL; not owned */
} rn_block_retention;

/** Rows of forward: y [R, D] from x [R, D] = norm(raw), or x = raw if norm is NULL. */
typedef struct rn_block_rows {
  rn_array x;
  const rn_real *raw;
  const rn_norm *norm;
  rn_real *y;
} rn_block_rows;

/** Gradients in backward: dx [R, D] from dy [R, D]; distinct arrays, dx is overwritten. */
typedef struct rn_block_grads {
  rn_array dy;
  rn_real *dx;
} rn_block_grads;

/**
 * The buffers of one layer's block. After backward_input, kv and qg hold their own gradients.
 *
 * In rn_real, some values have no array of their own: the head norm works in place (o is normed),
 * and contributions of chunks to states become the states before the chunks in place.
 */
typedef struct rn_block_retention_activations {
  rn_form form; /* of the last forward */
  /* saved by forward */
  rn_array kv, qg;        /* [R, D + H V], row stride ld_pair; k and q come first, rotated */
  rn_array normed, gated; /* [R, H V]; gated: row stride ld_gated, recomputed by backward_input */
  rn_real *factor;        /* [R, H] */
  rn_array states;        /* [chunks, B, H, K, V]: before each chunk; [1, ...] in the other forms */
  rn_real *received;      /* [B, H, K, V]: the state before the segment; saved for recomputation */
  /* temporary */
  rn_real *own, *state;  /* [B, H, K, V]: contribution of the segment; state of the scan */
  rn_real *chunk_states; /* [chunks, B, H, K, V]: contributions of chunks to states */
  rn_real *o;            /* [R, H V], then their norm in place */
  rn_real *alpha;        /* [R, H] */
  rn_real *kv_reals, *q; /* [R, D + H V], [R, D]: bf16 rows in rn_real, for forms without chunks */
  double *row_fp64;      /* [D] */
  double *log_decay;     /* [B, H] */
  rn_array d_o;          /* [R, H V] */
  rn_real *d_kv;         /* [R, D + H V], row stride ld_pair */
  rn_real *d_chunk_states; /* [chunks, B, H, K, V]: contributions of chunks to adjoints */
  rn_array adjoints;       /* [chunks, B, H, K, V]: of each chunk's outgoing state */
  rn_workspace *workspace; /* that holds the temporary ones; not owned */
} rn_block_retention_activations;

/** The sizes for units of at most B sequences, T tokens, without tables; and the tables' bytes. */
rn_block_retention rn_block_retention_shape(const rn_spec *spec, int max_sequences, int max_tokens);
size_t rn_block_retention_bytes(const rn_block_retention *shape);

/** Creates the block for units of at most B sequences, T tokens. Errors: RN_ERR_MEMORY. */
rn_status rn_block_retention_create(rn_err *err, const rn_spec *spec, int max_sequences,
                                    int max_tokens, rn_block_retention *out);
void rn_block_retention_destroy(rn_block_retention *block);

/** Declares the buffers of a layer's block, or takes them (rn_buffer_take). */
rn_block_retention_activations rn_block_retention_buffers(const rn_block_retention *shape,
                                                          const rn_buffer_space *space);

/**
 * `layer`: the parameter offsets of this layer.
 *
 * Collective: over the ranks of pass->port: one FORWARD scan of the layer.
 * Errors:     those of the port; RN_ERR_USAGE for ts_chunkwise in the parallel form.
 */
rn_status rn_block_retention_forward(rn_err *err, rn_block_retention *block,
                                     const rn_layer_params *layer, const rn_pass *pass,
                                     rn_block_rows rows,
                                     rn_block_retention_activations *activations);

/**
 * The parallel form has no backward in bf16. With pass->weights, also accumulates the gradient of
 * the output projection's weight, while gated is valid.
 *
 * Collective: over the ranks of pass->port: one REVERSE scan of the layer.
 * Errors:     those of the port.
 */
rn_status rn_block_retention_backward_input(rn_err *err, rn_block_retention *block,
                                            const rn_layer_params *layer, const rn_pass *pass,
                                            rn_block_grads grads,
                                            rn_block_retention_activations *activations);

/** After backward_input: accumulates the weight gradient of the output projection; dy as there. */
void rn_block_retention_backward_weight_out(const rn_block_retention *block,
                                            const rn_layer_params *at, rn_rows rows, rn_array dy,
                                            const rn_block_retention_activations *activations,
                                            rn_grad_accumulator *accumulator);

/** The same for the input projections (k, v, q, g); x as in forward. */
void rn_block_retention_backward_weight_in(const rn_block_retention *block,
                                           const rn_layer_params *at, rn_rows rows, rn_array x,
                                           const rn_block_retention_activations *activations,
                                           rn_grad_accumulator *accumulator);

#endif
