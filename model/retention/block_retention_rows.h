/**
 * Computes the parts of a retention block in which no row depends on other rows: projections,
 * rotary embedding, head norm and gate, forward and backward. The work is cut into tiles for all
 * threads.
 *
 * The parts that combine rows, the retention and the scan, are in block_retention.c and
 * block_retention_backward.c, which call these functions.
 */
#ifndef RN_MODEL_RETENTION_BLOCK_RETENTION_ROWS_H
#define RN_MODEL_RETENTION_BLOCK_RETENTION_ROWS_H

#include "model/ops/norm.h"
#include "model/pass/pass.h"
#include "model/retention/block_retention_types.h"
#include "model/spec/param.h"
#include "proto/ports/scan_port.h"

/** The arguments of a pass over the rows of a unit; the arrays hold all rows. */
typedef struct rn_retention_rows {
  const rn_block_retention *b;
  const rn_layer_params *at;
  const rn_pass *pass;
  const rn_block_retention_activations *activations;
  rn_array in;  /* [R, D]; forward: x; backward: dy */
  rn_real *out; /* [R, D]; forward: y; backward: dx */
} rn_retention_rows;

/** Returns q, k and v of the unit, as arguments of the retention. */
rn_retention_view rn_retention_rows_view(const rn_retention_rows *rows);
/** Returns the shape of the head norm. */
rn_head_norm_shape rn_retention_rows_norm(const rn_retention_rows *rows);
/** Returns the arguments of the gate. */
rn_gate rn_retention_rows_gate(const rn_retention_rows *rows);

/** Computes k (scaled by 1 / sqrt(K) and rotated) and v from the input. */
void rn_retention_rows_kv(const rn_retention_rows *rows);
/** Computes q (rotated) and g from the input. Polls `port` between tiles. */
void rn_retention_rows_qg(const rn_retention_rows *rows, const rn_scan_port *port);
/** Computes the output from o and alpha: head norm, gate, projection. Polls `port` between tiles.
 */
void rn_retention_rows_out(const rn_retention_rows *rows, const rn_scan_port *port);

/** Computes the gradient of g, and the gradient d_o that flows back through the gate. If the head
 * norm has no weight, its backward is included, and d_o is the gradient of o. Otherwise, d_o is the
 * gradient of the product of the normed rows and the weight, from which the caller computes the
 * gradients of both and then calls rn_retention_rows_norm_backward. */
void rn_retention_rows_out_backward(const rn_retention_rows *rows);
/** Replaces d_o, the gradient of the normed rows, by the gradient of o. */
void rn_retention_rows_norm_backward(const rn_retention_rows *rows);
/** Computes dx from the gradients of k, v, q and g. On entry, dx holds the gradient of q. Stores
 * the gradients of q, k and v in the activations, next to the gradient of g. */
void rn_retention_rows_qkvg_backward(const rn_retention_rows *rows);

#endif
