/**
 * Computes the multi-scale retention block of a layer, without norm and residual connection.
 *
 *   k = rot(x Wk^T / sqrt(K)), v = x Wv^T, q = rot(x Wq^T), g = x Wg^T
 *   y = (silu(g) * headnorm(alpha * retention(q, k, v))) Wo^T
 *
 * Forward first computes the input of the scan. While the scan is in flight, it does the work that
 * does not need the result of the scan; afterwards, it does the remaining work. Source: Sun et al.,
 * Retentive Network (2307.08621), eq. 8 and 9.
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

/** The sizes and tables of the block, shared by all layers of a stage. The table `rotary` holds the
 * cosines and sines for the positions of the current unit. */
typedef struct rn_block_retention {
  int dim, value_dim, heads, key_width, value_width; /* D, H V, H, K, V */
  int pair,
      ld_pair;  /* number of columns of kv and of qg, D + H V, and the row stride of these arrays */
  int ld_gated; /* row stride of gated */
  int max_sequences, max_tokens;
  bool gate;
  bool bf16; /* true if rows and states are stored and multiplied in bf16 */
  rn_head_norm head_norm;
  double eps;
  rn_retention core;
  rn_rotary_table rotary;
  const rn_bf16 *weights; /* the stage's weights in bf16, or NULL; not owned */
  double *sums; /* scratch of rn_head_weight_backward; NULL if the head norm has no weight */
} rn_block_retention;

/** Returns the number of columns of qg that the block uses: those of q and g, or of q alone if
 * there is no gate. */
static inline int rn_block_retention_qg_width(const rn_block_retention *block) {
  return block->gate ? block->pair : block->dim;
}

/** The input x [R, D] and output y [R, D] of forward. x = norm(raw), or x = raw if norm is NULL. */
typedef struct rn_block_rows {
  rn_array x;
  const rn_real *raw;
  const rn_norm *norm;
  rn_real *y;
} rn_block_rows;

/** The input dy [R, D] and output dx [R, D] of backward; they must not overlap. */
typedef struct rn_block_grads {
  rn_array dy;
  rn_real *dx;
} rn_block_grads;

/**
 * The buffers of one layer's block. After backward_input, kv and qg hold the gradients of k, v, q
 * and g.
 *
 * In rn_real, some arrays share memory: `normed` and `o`, because the head norm works in place, and
 * `states` and `chunk_states`, because the states before the chunks replace the contributions of
 * the chunks.
 */
typedef struct rn_block_retention_activations {
  rn_form form; /* form used by the last forward */
  /* saved by forward */
  rn_array kv, qg; /* [R, D + H V], row stride ld_pair; the rotated k or q, then v or g */
  rn_array normed,
      gated;       /* [R, H V]; gated has row stride ld_gated and is recomputed by backward_input */
  rn_real *factor; /* [R, H] */
  rn_array states; /* [chunks, B, H, K, V]: state before each chunk; [1, B, H, K, V] in the forms
                      without chunks */
  rn_real *received; /* [B, H, K, V]: state before the segment, saved for recomputation */
  /* temporary */
  rn_real *own, *state; /* [B, H, K, V]: own: contribution of the segment, input of the scan; state:
                           output of the scan */
  rn_real *chunk_states; /* [chunks, B, H, K, V]: contributions of chunks to states */
  rn_real *o;            /* [R, H V]: output of the retention */
  rn_real *alpha;        /* [R, H] */
  rn_real *kv_reals,
      *q; /* [R, D + H V] and [R, D]: bf16 rows widened to rn_real, for the forms without chunks */
  double *log_decay; /* [B, H] */
  bool defers_out;   /* true if `gated` and the gradient of the output stay live until the scan of
                        backward has begun, so that the weight gradient of the output projection can
                        be deferred */
  rn_array d_o;      /* [R, H V] */
  rn_real *d_kv;     /* [R, D + H V], row stride ld_pair */
  rn_real *d_chunk_states; /* [chunks, B, H, K, V]: contributions of chunks to adjoints */
  rn_array adjoints;       /* [chunks, B, H, K, V]: adjoint of the state after each chunk */
  void *packed;            /* packed weights of one phase */
  rn_workspace *workspace; /* holds the temporary buffers; not owned */
} rn_block_retention_activations;

/** Returns a block that has sizes but no tables, for units of at most `max_sequences` sequences of
 * at most `max_tokens` tokens. */
rn_block_retention rn_block_retention_shape(const rn_spec *spec, int max_sequences, int max_tokens);
/** Returns the size in bytes of the tables of a block. */
size_t rn_block_retention_bytes(const rn_block_retention *shape);

/** Creates a block with its tables, for the same units as in rn_block_retention_shape. Errors:
 * RN_ERR_MEMORY. */
rn_status rn_block_retention_create(rn_err *err, const rn_spec *spec, int max_sequences,
                                    int max_tokens, rn_block_retention *out);
void rn_block_retention_destroy(rn_block_retention *block);

/** Declares the buffers of a layer's block, or returns their addresses (see rn_buffer_take). */
rn_block_retention_activations rn_block_retention_buffers(const rn_block_retention *shape,
                                                          const rn_buffer_space *space);

/**
 * Computes the block's output and the activations. `layer` has the parameter offsets of the layer.
 *
 * Collective: over the ranks of pass->port (one FORWARD scan of the layer).
 * Errors:     those of the port; RN_ERR_USAGE for ts_chunkwise in the parallel form.
 */
rn_status rn_block_retention_forward(rn_err *err, rn_block_retention *block,
                                     const rn_layer_params *layer, const rn_pass *pass,
                                     rn_block_rows rows,
                                     rn_block_retention_activations *activations);

/**
 * Computes the gradient of the input. With pass->weights, also accumulates the weight gradient of
 * the output projection, while `gated` is valid. The parallel form has no backward in bf16.
 *
 * While the scan is in flight, computes all deferred weight gradients in pass->queue.
 *
 * Collective: over the ranks of pass->port (one REVERSE scan of the layer).
 * Errors:     those of the port.
 */
rn_status rn_block_retention_backward_input(rn_err *err, rn_block_retention *block,
                                            const rn_layer_params *layer, const rn_pass *pass,
                                            rn_block_grads grads,
                                            rn_block_retention_activations *activations);

/** Returns the weight gradient of the output projection as a product. Call after backward_input
 * with the same dy, while `gated` is valid. */
rn_weight_product rn_block_retention_product_out(const rn_block_retention *block,
                                                 const rn_layer_params *at, rn_array dy,
                                                 const rn_block_retention_activations *activations);

/** Returns the weight gradients of the input projections as products: of k and v in out[0], of q
 * and g in out[1]. Call after backward_input; x is the input of forward. */
void rn_block_retention_products_in(const rn_block_retention *block, const rn_layer_params *at,
                                    rn_array x, const rn_block_retention_activations *activations,
                                    rn_weight_product out[2]);

#endif
