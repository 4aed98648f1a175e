/* Declares the buffers of one layer. */
#include "model/memory/buffer.h"
#include "model/stage/layer.h"

/* True if the blocks have separate input arrays. With post-norm in rn_real they do not: the blocks
 * read the residual inputs. */
static bool has_own_input(const rn_layer *layer) {
  return layer->pre_norm || layer->bf16;
}

/* Declares or gets (rn_buffer_take) the buffer of the layer's input, which is the output of the
 * embedding or of the previous layer. */
static rn_real *take_input(const rn_buffer_space *s, int64_t count) {
  const rn_phase_set forward =
      rn_phase_range(RN_UNIT_PHASE_RETENTION_NORM, RN_UNIT_PHASE_RESIDUAL) |
      rn_phase_range(RN_UNIT_PHASE_EMBED, RN_UNIT_PHASE_EMBED);
  return rn_buffer_reals(s, "layer input", count,
                         (rn_buffer_use){.kind = RN_BUFFER_INPUT, .forward = forward});
}

/* Declares or gets the buffers of the inputs of the norms and of the residual inputs. */
static void take_residual_rows(const rn_layer *layer, const rn_buffer_space *s, int64_t count,
                               rn_layer_activations *t) {
  t->residual_in1 = take_input(s, count);
  if (layer->pre_norm) {
    t->norm_in1 = t->residual_in1;
    t->norm_in2 = t->residual_in2 = rn_buffer_reals(
        s, "middle", count,
        rn_use_saved(RN_UNIT_PHASE_FFN_NORM, RN_UNIT_PHASE_RESIDUAL, RN_UNIT_PHASE_D_FFN_NORM));
    return;
  }
  t->norm_in1 = rn_buffer_reals(
      s, "retention norm input", count,
      rn_use_saved(RN_UNIT_PHASE_FFN_NORM, RN_UNIT_PHASE_FFN_NORM, RN_UNIT_PHASE_D_RETENTION));
  t->norm_in2 = rn_buffer_reals(
      s, "ffn norm input", count,
      rn_use_saved(RN_UNIT_PHASE_RESIDUAL, RN_UNIT_PHASE_RESIDUAL, RN_UNIT_PHASE_D_RESIDUAL));
  t->residual_in2 = rn_buffer_reals(
      s, "middle", count,
      rn_use_saved(RN_UNIT_PHASE_FFN_NORM, RN_UNIT_PHASE_RESIDUAL, RN_UNIT_PHASE_FFN_WEIGHT));
}

/* Returns the lifetime of the retention block's input. If `waits`, the weight gradients of k, v, q
 * and g of layer l are deferred: the backward of layer l - 1 computes them while its scan is in
 * flight. */
static rn_buffer_use use_of_retention_input(bool waits) {
  rn_buffer_use use = rn_use_recomputed(RN_UNIT_PHASE_RETENTION_NORM, RN_UNIT_PHASE_QG,
                                        RN_UNIT_PHASE_D_RETENTION_NORM, RN_UNIT_PHASE_QKVG_WEIGHT);
  if (waits) use.backward |= rn_phase_range(RN_UNIT_PHASE_D_RESIDUAL, RN_UNIT_PHASE_SCAN_WEIGHT);
  return use;
}

static void take_block_inputs(const rn_layer *layer, const rn_buffer_space *s, int64_t count,
                              rn_layer_activations *t) {
  if (!has_own_input(layer)) {
    t->in1 = rn_reals(t->residual_in1);
    t->in2 = rn_reals(t->residual_in2);
    return;
  }
  t->in1 = rn_buffer_array(s, "retention input", count, layer->bf16,
                           use_of_retention_input(t->defers_inputs));
  t->in2 = rn_buffer_array(
      s, "ffn input", count, layer->bf16,
      rn_use_recomputed(RN_UNIT_PHASE_FFN_NORM, RN_UNIT_PHASE_FFN, RN_UNIT_PHASE_D_FFN_NORM,
                        t->defers_inputs ? RN_UNIT_PHASE_SCAN_WEIGHT : RN_UNIT_PHASE_FFN_WEIGHT));
}

static void take_statistics(const rn_buffer_space *s, int64_t rows, rn_layer_activations *t) {
  t->stat1 = rn_buffer_reals(s, "retention norm statistics", 2 * rows,
                             rn_use_saved(RN_UNIT_PHASE_RETENTION_NORM, RN_UNIT_PHASE_FFN_NORM,
                                          RN_UNIT_PHASE_D_RETENTION_NORM));
  t->stat2 = rn_buffer_reals(
      s, "ffn norm statistics", 2 * rows,
      rn_use_saved(RN_UNIT_PHASE_FFN_NORM, RN_UNIT_PHASE_RESIDUAL, RN_UNIT_PHASE_D_FFN_NORM));
}

/* Returns the lifetime of d_out. With RN_SAVE_ALL, d_out is live until the end of the layer's
 * backward, where it is copied for a separate backward_weight; with RN_SAVE_INPUTS, until the
 * deferred weight gradient of the output projection has been computed. */
static rn_buffer_use use_of_d_out(rn_save_policy policy) {
  const rn_unit_phase last = policy == RN_SAVE_ALL      ? RN_UNIT_PHASE_QKVG_WEIGHT
                             : policy == RN_SAVE_INPUTS ? RN_UNIT_PHASE_SCAN_WEIGHT
                                                        : RN_UNIT_PHASE_OUT_WEIGHT;
  return rn_use_twice(rn_use_in_backward(RN_UNIT_PHASE_D_RESIDUAL, RN_UNIT_PHASE_FFN_WEIGHT),
                      rn_use_in_backward(RN_UNIT_PHASE_D_RETENTION, last));
}

static void take_temporary(const rn_layer *layer, const rn_buffer_space *s, int64_t count,
                           rn_layer_activations *t) {
  t->branch = rn_buffer_reals(s, "block output", count,
                              rn_use_in_forward(RN_UNIT_PHASE_OUT, RN_UNIT_PHASE_RESIDUAL));
  t->d_middle =
      rn_buffer_reals(s, "d middle", count,
                      rn_use_in_backward(RN_UNIT_PHASE_D_RESIDUAL, RN_UNIT_PHASE_QKVG_WEIGHT));
  if (layer->bf16 || layer->dropout != 0) {
    t->d_out =
        rn_buffer_array(s, "d block output", count, layer->bf16, use_of_d_out(s->plan->policy));
  }
}

/* Declares or gets the buffers of the retention or attention block. In a stage with both kinds of
 * layers, the buffers of both kinds are declared, but only the addresses of the layer's own kind
 * are valid. */
static void take_blocks(const rn_layer *layer, const rn_buffer_space *space,
                        rn_layer_activations *t) {
  rn_buffer_space of_kind = *space;
  if (layer->retention != NULL) {
    of_kind.layers = RN_RETENTION_LAYERS;
    t->retention = rn_block_retention_buffers(layer->retention, &of_kind);
  }
  if (layer->attention != NULL) {
    of_kind.layers = RN_ATTENTION_LAYERS;
    t->attention = rn_block_attention_buffers(layer->attention, &of_kind);
  }
}

rn_layer_activations rn_layer_buffers(const rn_layer *layer, int64_t rows,
                                      const rn_buffer_space *space, rn_workspace *workspace) {
  const int64_t count = rows * layer->retention_norm.width;
  /* With RN_SAVE_INPUTS, all layers share these buffers: before the backward of layer l - 1, its
   * forward is recomputed in them, which overwrites the operands of the weight gradients of layer
   * l. These gradients therefore cannot be deferred to the backward of layer l - 1. */
  rn_layer_activations t = {.recompute_inputs = space->plan->policy != RN_SAVE_ALL,
                            .defers_inputs = space->plan->policy >= RN_SAVE_MOST,
                            .ffn = rn_ffn_buffers(&layer->ffn, rows, space),
                            .workspace = workspace};
  take_blocks(layer, space, &t);
  t.retention.workspace = t.attention.workspace = workspace;
  take_residual_rows(layer, space, count, &t);
  take_block_inputs(layer, space, count, &t);
  take_statistics(space, rows, &t);
  take_temporary(layer, space, count, &t);
  return t;
}
