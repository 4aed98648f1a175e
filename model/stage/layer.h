/**
 * A layer consists of a retention or attention block and a feed-forward block, each with norm,
 * dropout and residual connection.
 *
 *   pre-norm:   m = a x + ret(norm1 x),   y = a m + ffn(norm2 m)
 *   post-norm:  m = norm1(a x + ret x),   y = norm2(a m + ffn m)
 *
 * a is the residual factor (deepnorm). In attention layers, ret is the attention block.
 */
#ifndef RN_MODEL_STAGE_LAYER_H
#define RN_MODEL_STAGE_LAYER_H

#include "model/attention/block_attention.h"
#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/ffn/block_ffn.h"
#include "model/memory/buffer_plan.h"
#include "model/ops/grad_accumulator.h"
#include "model/ops/norm.h"
#include "model/pass/pass.h"
#include "model/pass/rows.h"
#include "model/retention/block_retention.h"

/** The parameter offsets and options of a layer. */
typedef struct rn_layer {
  int index; /* global layer index; part of the dropout key */
  bool pre_norm;
  rn_real residual;
  double dropout;
  uint64_t seed;
  rn_layer_params at;
  rn_norm retention_norm, ffn_norm;
  rn_ffn_block ffn;
  /* the retention block; shared by all layers of the stage if their decays are equal; not owned;
   * NULL if the stage has no retention layer */
  rn_block_retention *retention;
  /* the attention block; shared by all layers of the stage; not owned; NULL if the stage has no
   * attention layer */
  rn_block_attention *attention;
  bool attends; /* true if the layer is an attention layer */
  bool bf16;    /* true if the inputs of the blocks are in bf16 */
} rn_layer;

/**
 * The buffers of a layer. Rows are [R, D]. The suffix 1 denotes the retention or attention
 * sublayer, 2 the feed-forward sublayer. After a backward_input without pass->weights, norm_in1 and
 * norm_in2 hold the gradients of the blocks' outputs, in the blocks' type.
 */
typedef struct rn_layer_activations {
  rn_real *norm_in1, *norm_in2; /* inputs of the norms */
  /* residual inputs; with pre-norm, the same arrays as norm_in1 and norm_in2 */
  rn_real *residual_in1, *residual_in2;
  /* inputs of the blocks; with post-norm in rn_real, the same arrays as residual_in1 and
   * residual_in2 */
  rn_array in1, in2;
  bool recompute_inputs; /* true if in1 and in2 are temporary, and backward_input recomputes them */
  /* true if the operands of the weight gradients of fc1 and of the projections of k, v, q and g
   * stay live until the next scan of backward has begun, so that these gradients can be deferred */
  bool defers_inputs;
  rn_real *stat1, *stat2; /* [R, 2] */
  rn_real *branch;        /* temporary: output of the current block */
  rn_real *d_middle;      /* temporary: gradient of the rows between the sublayers */
  rn_array d_out; /* temporary: gradient of a block's output, in the block's type; used only with
                     bf16 or dropout */
  /* Only the buffers of the layer's own kind of block are valid. */
  rn_block_retention_activations retention;
  rn_block_attention_activations attention;
  rn_ffn_activations ffn;
  bool train;              /* true if forward applied dropout */
  rn_workspace *workspace; /* workspace of the temporary buffers; not owned */
} rn_layer_activations;

/** Returns the kind of a layer, which determines the layer's buffers. */
static inline rn_layers rn_layer_kind(const rn_layer *layer) {
  return layer->attends ? RN_ATTENTION_LAYERS : RN_RETENTION_LAYERS;
}

/** Declares the buffers that the layers of a stage need for at most `rows` rows, or returns the
 * addresses of one layer's buffers (see rn_buffer_take). */
rn_layer_activations rn_layer_buffers(const rn_layer *layer, int64_t rows,
                                      const rn_buffer_space *space, rn_workspace *workspace);

/** Returns the array in which forward saves x [R, D]. If the caller writes x there, forward need
 * not copy it. */
static inline rn_real *rn_layer_activations_input(const rn_layer_activations *activations) {
  return activations->residual_in1;
}

/**
 * Computes the output y and the activations; if y is NULL, only the activations. Shapes: x, y [R,
 * D], may alias each other and rn_layer_activations_input.
 *
 * Collective: as rn_block_retention_forward; in attention layers, as rn_block_attention_forward.
 */
rn_status rn_layer_forward(rn_err *err, const rn_layer *layer, const rn_pass *pass,
                           const rn_real *x, rn_layer_activations *activations, rn_real *y);

/**
 * Computes dx from dy [R, D], in place. With pass->weights, also accumulates the weight gradients;
 * without it, the caller must call rn_layer_defer_weights later.
 *
 * On return, pass->queue may still hold weight gradients of the layer whose operands are in the
 * workspace of the activations. The next call of rn_layer_backward_input computes them. Before any
 * other use of the workspace, the caller must finish the queue.
 *
 * Collective: as rn_block_retention_backward_input; in attention layers, as
 *             rn_block_attention_backward_input.
 */
rn_status rn_layer_backward_input(rn_err *err, const rn_layer *layer, const rn_pass *pass,
                                  rn_layer_activations *activations, rn_real *dy);

/** Adds all weight gradients of the layer to `queue`. Call after rn_layer_backward_input without
 * pass->weights; the activations must not change until the queue is finished. */
void rn_layer_defer_weights(const rn_layer *layer, rn_rows rows,
                            const rn_layer_activations *activations,
                            rn_grad_accumulator *accumulator, rn_weight_queue *queue);

#endif
