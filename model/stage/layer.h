/**
 * One layer: retention block and feed-forward block, each with norm, dropout and residual.
 *
 *   pre-norm:   m = a x + ret(norm1 x),   y = a m + ffn(norm2 m)
 *   post-norm:  m = norm1(a x + ret x),   y = norm2(a m + ffn m)
 *
 * a is the residual factor (deepnorm).
 */
#ifndef RN_MODEL_STAGE_LAYER_H
#define RN_MODEL_STAGE_LAYER_H

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/ffn/block_ffn.h"
#include "model/ops/grad_accumulator.h"
#include "model/ops/norm.h"
#include "model/pass/pass.h"
#include "model/pass/rows.h"
#include "model/retention/block_retention.h"

/** Parameter offsets of a layer, and the buffers it shares with the other layers of the stage. */
typedef struct rn_layer {
  int number; /* global layer index, a key of dropout */
  bool pre_norm;
  rn_real residual;
  double dropout;
  uint64_t seed;
  rn_layer_params at;
  rn_norm retention_norm, ffn_norm;
  rn_ffn_block ffn;
  rn_block_retention *retention; /* shared */
  bool bf16;                     /* the inputs of the blocks are bf16 */
  rn_real *scratch;              /* shared: [R, D] */
  rn_array d_out;                /* shared: [R, D], in the blocks' type; see rn_layer_needs_d_out */
} rn_layer;

/**
 * Rows [R, D]; suffix 1 is the retention sublayer, 2 the feed-forward sublayer. After a
 * backward_input without weights, norm_in1 and norm_in2 hold the gradients of the blocks' outputs,
 * in the blocks' type.
 */
typedef struct rn_layer_activations {
  rn_real *norm_in1, *norm_in2; /* inputs of the norms */
  rn_real *past1, *past2;       /* residual inputs; with pre-norm also the norms' inputs */
  rn_array in1, in2;            /* blocks' inputs; equal past1, past2 with post-norm in rn_real */
  bool lent;              /* in1, in2 are in a shared workspace: backward_input recomputes them */
  rn_real *stat1, *stat2; /* [R, 2] */
  rn_block_retention_activations retention;
  rn_ffn_activations ffn;
  bool train; /* forward applied dropout */
} rn_layer_activations;

/**
 * Workspace that activations may share because blocks run one at a time: the blocks' inputs and
 * the input of fc2, which backward_input recomputes, and optionally the inner activations of the
 * ffn block, if only one rn_activations is in use at a time. It is placed in the spare memory of
 * the retention block where it fits, else in an arena.
 */
typedef struct rn_layer_workspace {
  rn_array in1, in2;
  rn_ffn_activations ffn;
} rn_layer_workspace;

/** Bytes of a workspace in an arena, and the workspace taken from one. */
size_t rn_layer_workspace_bytes(const rn_layer *layer, int64_t rows, bool inner);
rn_layer_workspace rn_layer_workspace_take(const rn_layer *layer, int64_t rows, bool inner,
                                           rn_arena *arena);

/**
 * Bytes of a layer's activations in an arena, and the activations taken from one. Activations with
 * a workspace require backward_input with pass->weights. `inner`: the workspace includes the inner
 * activations of the ffn block.
 */
size_t rn_layer_activations_bytes(const rn_layer *layer, int64_t rows, bool lent, bool inner);
rn_layer_activations rn_layer_activations_take(const rn_layer *layer, int64_t rows,
                                               const rn_layer_workspace *workspace,
                                               rn_arena *arena);

/** Sets where forward keeps x [R, D]; not owned. A caller that writes x there saves a copy. */
void rn_layer_activations_keep_at(const rn_layer *layer, rn_layer_activations *activations,
                                  rn_real *input);
static inline rn_real *rn_layer_activations_input(const rn_layer_activations *activations) {
  return activations->past1;
}

/** True if backward_input needs the buffer d_out. */
bool rn_layer_needs_d_out(const rn_layer *layer);

/**
 * Shapes: x, y [R, D], may alias each other and the activations' input; y NULL: makes only the
 * activations. Collective: as rn_block_retention_forward.
 */
rn_status rn_layer_forward(rn_err *err, const rn_layer *layer, const rn_pass *pass,
                           const rn_real *x, rn_layer_activations *activations, rn_real *y);

/**
 * Replaces dy [R, D] by dx in place; with pass->weights also accumulates the weight gradients, else
 * rn_layer_backward_weight does. Collective: as rn_block_retention_backward_input.
 */
rn_status rn_layer_backward_input(rn_err *err, const rn_layer *layer, const rn_pass *pass,
                                  rn_layer_activations *activations, rn_real *dy);

void rn_layer_backward_weight(const rn_layer *layer, const rn_pass *pass,
                              const rn_layer_activations *activations);

#endif
