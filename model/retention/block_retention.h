/**
 * Computes the multi-scale retention block of a layer, without norm and residual connection.
 *
 *   k = rot(x Wk^T / sqrt(K)), v = x Wv^T, q = rot(x Wq^T), g = x Wg^T
 *   y = (silu(g) * headnorm(alpha * retention(q, k, v))) Wo^T
 *
 * A scan over the ranks computes the state before each segment of a sequence
 * (proto/ports/scan_port.h). Forward first computes the input of the scan. While the scan is in
 * flight, it does the work that does not need the result of the scan; afterwards, it does the
 * remaining work. Source: Sun et al., Retentive Network (2307.08621), eq. 8 and 9.
 */
#ifndef RN_MODEL_RETENTION_BLOCK_RETENTION_H
#define RN_MODEL_RETENTION_BLOCK_RETENTION_H

#include <stddef.h>
#include <stdint.h>

#include "model/ops/grad_accumulator.h"
#include "model/ops/norm.h"
#include "model/pass/pass.h"
#include "model/pass/rows.h"
#include "model/retention/block_retention_buffers.h"
#include "model/spec/param.h"
#include "proto/base/status.h"
#include "proto/ports/scan_port.h"

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
 * the output projection. The parallel form has no backward in bf16.
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

/** Returns the operands of the matrix product that computes the weight gradient of the output
 * projection. Call after backward_input with the same dy, while activations->gated is valid. */
rn_weight_product rn_block_retention_product_out(const rn_block_retention *block,
                                                 const rn_layer_params *at, rn_array dy,
                                                 const rn_block_retention_activations *activations);

/** Returns the operands of the matrix products that compute the weight gradients of the input
 * projections: of k and v in out[0], of q and g in out[1]. Call after backward_input; x is the
 * input of forward. */
void rn_block_retention_products_in(const rn_block_retention *block, const rn_layer_params *at,
                                    rn_array x, const rn_block_retention_activations *activations,
                                    rn_weight_product out[2]);

#endif
