/**
 * One layer: retention block and feed-forward block, each with norm, dropout and residual.
 *
 *   pre-norm:   m = a x + ret(norm1 x),   y = a m + ffn(norm2 m)
 *   post-norm:  m = norm1(a x + ret x),   y = norm2(a m + ffn m)       a: residual factor
 * (deepnorm)
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

/** A layer's places in the parameters, and what it shares with the stage's other layers. */
typedef struct rn_layer {
  int number; /* global, the key of dropout */
  bool pre_norm;
  rn_real residual;
  double dropout;
  uint64_t seed;
  rn_layer_params at;
  rn_norm retention_norm, ffn_norm;
  rn_ffn_block ffn;
  rn_block_retention *retention; /* shared */
  bool bf16;                     /* blocks are fed in bf16 */
  rn_real *scratch;              /* shared: [R, D] */
  rn_array d_out;                /* shared: [R, D], in the blocks' type; where it is needed */
} rn_layer;

/**
 * Rows [R, D]; 1 is of the retention block, 2 of the feed-forward one. norm_in1, norm_in2 hold the
 * gradients of the blocks' outputs after a backward_input without weights, in the blocks' type.
 */
typedef struct rn_layer_activations {
  rn_real *norm_in1, *norm_in2; /* inputs of the norms */
  rn_real *past1, *past2;       /* what goes past the blocks; with pre-norm the norms' inputs */
  rn_array in1, in2;            /* inputs of the blocks; in rn_real and post-norm what goes past */
  bool lent;                    /* they are a lender's: backward_input makes them once more */
  rn_real *stat1, *stat2;       /* [R, 2] */
  rn_block_retention_activations retention;
  rn_ffn_activations ffn;
  bool train; /* whether forward dropped */
} rn_layer_activations;

/**
 * What tapes may share, since blocks take turns: the blocks' inputs and the input of fc2, which
 * backward_input makes once more; and for tapes at work one by one the ffn block's inner products.
 * They lie where retention works, and if that has no room for them in memory of their own.
 */
typedef struct rn_layer_workspace {
  rn_array in1, in2;
  rn_ffn_activations ffn;
} rn_layer_workspace;

/** Bytes of a lender in an arena, and the lender taken from one. */
size_t rn_layer_workspace_bytes(const rn_layer *layer, int64_t rows, bool inner);
rn_layer_workspace rn_layer_workspace_take(const rn_layer *layer, int64_t rows, bool inner,
                                           rn_arena *arena);

/**
 * Bytes of a tape in an arena, and the tape taken from one; a tape with a lender wants
 * backward_input to make the weights' gradients too. `inner`: whether the lender has it.
 */
size_t rn_layer_activations_bytes(const rn_layer *layer, int64_t rows, bool lent, bool inner);
rn_layer_activations rn_layer_activations_take(const rn_layer *layer, int64_t rows,
                                               const rn_layer_workspace *workspace,
                                               rn_arena *arena);

/** Where the tape keeps forward's x [R, D], from now on; not the tape's: who puts x there saves a
 * copy. */
void rn_layer_activations_keep_at(const rn_layer *layer, rn_layer_activations *activations,
                                  rn_real *input);
static inline rn_real *rn_layer_activations_input(const rn_layer_activations *activations) {
  return activations->past1;
}

/** Whether backward_input needs d_out. */
bool rn_layer_needs_d_out(const rn_layer *layer);

/**
 * Shapes: x, y [R, D], the same array allowed, and for both the activations' input; y NULL: only
 * the activations are made. Collective: as rn_block_retention_forward.
 */
rn_status rn_layer_forward(rn_err *err, const rn_layer *layer, const rn_pass *pass,
                           const rn_real *x, rn_layer_activations *activations, rn_real *y);

/**
 * dy [R, D] becomes dx in place; with pass->weights their gradients are accumulated as well, else
 * rn_layer_backward_weight does it. Collective: as rn_block_retention_backward_input.
 */
rn_status rn_layer_backward_input(rn_err *err, const rn_layer *layer, const rn_pass *pass,
                                  rn_layer_activations *activations, rn_real *dy);

void rn_layer_backward_weight(const rn_layer *layer, const rn_pass *pass,
                              const rn_layer_activations *activations);

#endif
