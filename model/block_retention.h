/**
 * Multi-scale retention, whole: projections, rotation, core, head norm, gate, out.
 *
 *   [k;v] = x [Wk;Wv]^T,  [q;g] = x [Wq;Wg]^T,  q, k rotated, k scaled by K^(-1/2)
 *   out = (silu(g) . head_norm(alpha retention(q, k, v))) Wo^T
 *
 * Source: Sun et al., Retentive Network (arXiv 2307.08621), eq. 8; torchscale.
 */
#ifndef RN_MODEL_BLOCK_RETENTION_H
#define RN_MODEL_BLOCK_RETENTION_H

#include <stddef.h>
#include <stdint.h>

#include "model/names.h"
#include "model/param.h"
#include "model/sink.h"
#include "model/spec.h"
#include "model/unit.h"
#include "proto/arena.h"
#include "proto/scan_port.h"

/** Tables and work memory for units of at most B sequences, T tokens; shared by layers. */
typedef struct rn_block_retention rn_block_retention;

/**
 * What a layer's forward leaves behind. G = D + value_dim without a gate's columns if there is
 * none. After backward_input, kv and qg hold the gradients of the unrotated projections.
 */
typedef struct rn_retention_tape {
  rn_form form;
  const rn_real *x; /* [R, D] the input; not owned: it must live as long as the tape is used */
  rn_real *kv;      /* [R, D + value_dim] k (rotated, scaled), v */
  rn_real *qg;      /* [R, G] q (rotated), g */
  rn_real *o;       /* [R, value_dim] raw retention */
  rn_real *alpha;   /* [R, H] row scale */
  rn_real *factor;  /* [R, H] of the head norm */
  rn_real *mean;    /* [R, H] group norm only */
  rn_real *z;       /* [R, value_dim] what out multiplies */
  rn_real *states;  /* [chunks, B, H, K, V] before every chunk */
  rn_real *before;  /* [B H, K, V] before the piece */
  rn_real *dout;    /* [R, D] gradient of the output */
} rn_retention_tape;

rn_status rn_block_retention_create(rn_err *err, const rn_spec *spec, int max_sequences,
                                    int max_tokens, rn_block_retention **out);
void rn_block_retention_destroy(rn_block_retention **block);

/** Bytes that one layer's tape takes from an arena, and the taking. */
size_t rn_retention_tape_bytes(const rn_block_retention *block);
void rn_retention_tape_take(const rn_block_retention *block, rn_arena *arena,
                            rn_retention_tape *tape);

/** Bytes [R, D + value_dim + G] of the spare that backward trades for a tape's kv and qg. */
typedef struct rn_retention_spare {
  rn_real *kv, *qg;
} rn_retention_spare;
size_t rn_retention_spare_bytes(const rn_block_retention *block);
void rn_retention_spare_take(const rn_block_retention *block, rn_arena *arena,
                             rn_retention_spare *spare);

/**
 * x [R, D] -> out [R, D], R = B T. The layer's weights are params + at->k ... at->out.
 *
 * Collective: over the ranks behind `port`: one FORWARD scan, of `layer`.
 * Errors:     what the port returns; RN_ERR_USAGE for ts_chunkwise in the parallel form.
 */
rn_status rn_block_retention_forward(rn_err *err, rn_block_retention *block, int layer,
                                     const rn_real *params, const rn_layer_params *at,
                                     const rn_unit *unit, rn_form form, rn_scan_port *port,
                                     const rn_real *x, rn_real *out, rn_retention_tape *tape);

/**
 * dx [R, D] from tape->dout, which the caller has filled; the head norm's weight goes to the sink.
 *
 * Collective: over the ranks behind `port`: one REVERSE scan, of `layer`. `spare` is traded: what
 *             the tape held becomes the spare of the next call.
 */
rn_status rn_block_retention_backward_input(rn_err *err, rn_block_retention *block, int layer,
                                            const rn_real *params, const rn_layer_params *at,
                                            const rn_unit *unit, rn_scan_port *port,
                                            rn_retention_tape *tape, rn_retention_spare *spare,
                                            rn_real *dx, rn_sink *sink);

/** Weight gradients, from what backward_input left on the tape. */
void rn_block_retention_backward_weight(const rn_block_retention *block, const rn_layer_params *at,
                                        const rn_unit *unit, const rn_retention_tape *tape,
                                        rn_sink *sink);

#endif
