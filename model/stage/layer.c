#include "model/stage/layer.h"

#include "model/kernel/kernels.h"
#include "model/ops/dropout.h"
#include "model/ops/residual.h"
#include "proto/base/span.h"

static void copy(rn_real *to, const rn_real *from, int64_t count) {
  if (to == from) return;
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < count; i++) to[i] = from[i];
}

static void copy_array(rn_array to, rn_array from, int64_t count) {
  if (!to.bf16) {
    copy(rn_array_reals(to), rn_array_reals(from), count);
    return;
  }
  rn_bf16 *y = rn_array_bf16s(to);
  const rn_bf16 *x = rn_array_bf16s(from);
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < count; i++) y[i] = x[i];
}

/* Copies x to `to`, in the type of `to`. */
static void store(rn_array to, const rn_real *x, int64_t count) {
  enum { PIECE = 1 << 14 };
  const rn_kernels *kernels = rn_kernels_table();
  if (!to.bf16) {
    copy(rn_array_reals(to), x, count);
    return;
  }
#pragma omp parallel for schedule(static)
  for (int64_t at = 0; at < count; at += PIECE) {
    const int64_t left = count - at;
    kernels->round_bf16(left < PIECE ? left : PIECE, x + at, rn_array_bf16s(to) + at);
  }
}

static rn_dropout dropout_of(const rn_layer *layer, rn_dropout_site site) {
  return (rn_dropout){layer->dropout, layer->seed, layer->index, site};
}

static void apply_dropout(const rn_layer *layer, const rn_unit *unit, rn_dropout_site site,
                          bool train, rn_real *rows) {
  if (!train) return;
  rn_dropout_rows(dropout_of(layer, site), unit, layer->retention_norm.width, rows);
}

static bool has_dropout(const rn_layer *layer, bool train) {
  return train && layer->dropout != 0;
}

/* A sublayer: the norm, dropout and residual connection of one block, and their activations. */
typedef struct sublayer {
  const rn_norm *norm;
  rn_dropout_site site;
  rn_real *norm_in, *stat;
  rn_real *residual_in;
  rn_array in;
} sublayer;

static sublayer retention_sublayer(const rn_layer *layer, const rn_layer_activations *t) {
  return (sublayer){
      &layer->retention_norm, RN_DROPOUT_RETENTION, t->norm_in1, t->stat1, t->residual_in1, t->in1};
}

static sublayer ffn_sublayer(const rn_layer *layer, const rn_layer_activations *t) {
  return (sublayer){&layer->ffn_norm, RN_DROPOUT_FFN,  t->norm_in2,
                    t->stat2,         t->residual_in2, t->in2};
}

/* Adds a block's output to the residual input of its sublayer, sum = residual * x + branch. If
 * rows.norm is not NULL, also computes y = norm(sum). The caller sets the fields branch, sum, norm,
 * y and stat of `rows`. */
static void end_sublayer(const rn_layer *layer, const rn_pass *pass, sublayer s, rn_residual rows) {
  const rn_dropout dropout = dropout_of(layer, s.site);
  rows.dropout = pass->train ? &dropout : NULL;
  rows.factor = layer->residual;
  rows.x = s.residual_in;
  rn_residual_forward(&rows, pass->params, pass->unit, layer->retention_norm.width);
}

/* Computes the block's input from the residual input. */
static void make_block_input(const rn_layer *layer, const rn_real *params, int64_t rows,
                             sublayer s) {
  if (layer->pre_norm) {
    rn_norm_forward(s.norm, params, rows, s.residual_in, s.in, s.stat);
  } else {
    store(s.in, s.residual_in, rows * s.norm->width);
  }
}

/* Computes the output of the retention or attention block. */
static rn_status mix_forward(rn_err *err, const rn_layer *layer, const rn_pass *pass,
                             rn_layer_activations *t) {
  const rn_block_rows rows = {.x = t->in1,
                              .raw = t->residual_in1,
                              .norm = layer->pre_norm ? &layer->retention_norm : NULL,
                              .y = t->branch};
  if (!layer->attends) {
    return rn_block_retention_forward(err, layer->retention, &layer->at, pass, rows, &t->retention);
  }
  return rn_block_attention_forward(err, layer->attention, &layer->at, pass,
                                    (rn_block_attention_io){t->in1, t->branch}, &t->attention);
}

rn_status rn_layer_forward(rn_err *err, const rn_layer *layer, const rn_pass *pass,
                           const rn_real *x, rn_layer_activations *t, rn_real *y) {
  const rn_real *params = pass->params;
  const rn_rows rows = rn_rows_of_unit(pass->unit);
  const int64_t count = rows.count * layer->retention_norm.width;
  const sublayer retention = retention_sublayer(layer, t), ffn = ffn_sublayer(layer, t);
  rn_real *branch = t->branch;
  t->train = pass->train;
  rn_workspace_enter(t->workspace, rn_layer_kind(layer));
  rn_span_phase("norms, residual");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_RETENTION_NORM);
  copy(rn_layer_activations_input(t), x, count);
  make_block_input(layer, params, rows.count, retention);
  RN_TRY(err, mix_forward(err, layer, pass, t));
  rn_span_phase("norms, residual");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_FFN_NORM);
  if (layer->pre_norm) {
    end_sublayer(layer, pass, retention,
                 (rn_residual){.branch = branch,
                               .sum = t->norm_in2,
                               .norm = &layer->ffn_norm,
                               .y = t->in2,
                               .stat = t->stat2});
  } else {
    end_sublayer(layer, pass, retention,
                 (rn_residual){.branch = branch,
                               .sum = t->norm_in1,
                               .norm = &layer->retention_norm,
                               .y = rn_reals(t->residual_in2),
                               .stat = t->stat1});
    make_block_input(layer, params, rows.count, ffn);
  }
  const bool wants_output = y != NULL;
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_FFN);
  rn_ffn_forward(&layer->ffn, params, rows, t->in2, &t->ffn,
                 wants_output || !layer->pre_norm ? branch : NULL);
  if (!wants_output && layer->pre_norm) return RN_OK;
  rn_span_phase("norms, residual");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_RESIDUAL);
  if (layer->pre_norm) {
    end_sublayer(layer, pass, ffn, (rn_residual){.branch = branch, .sum = y});
  } else {
    end_sublayer(layer, pass, ffn,
                 (rn_residual){.branch = branch,
                               .sum = t->norm_in2,
                               .norm = &layer->ffn_norm,
                               .y = rn_reals(wants_output ? y : branch),
                               .stat = t->stat2});
  }
  return RN_OK;
}

/* Returns the array that holds the gradient of a block's output for backward_weight: the memory of
 * norm_in, which is no longer needed. */
static rn_array gradient_at(const rn_layer *layer, rn_real *norm_in) {
  return (rn_array){norm_in, layer->bf16};
}

/* Computes the gradient of a block's output from dy, the gradient of the sublayer's output:
 * applies the backward of the norm (post-norm) and of dropout. Returns t->d_out, or dy itself if
 * neither dropout nor bf16 requires a separate array. `scratch` has as many elements as dy. */
static rn_array gradient_of_block_output(const rn_layer *layer, const rn_pass *pass, sublayer s,
                                         const rn_layer_activations *t, rn_real *dy,
                                         rn_real *scratch) {
  const rn_unit *unit = pass->unit;
  const rn_rows rows = rn_rows_of_unit(unit);
  const int64_t count = rows.count * s.norm->width;
  const bool dropped = has_dropout(layer, t->train);
  rn_span_phase("norms, residual");
  if (!layer->pre_norm) {
    const rn_norm_grads grads = {.x = s.norm_in, .stat = s.stat, .dy = dy, .dx = dy};
    rn_norm_backward(s.norm, pass->params, rows, &grads, pass->accumulator);
  }
  if (!layer->bf16 && !dropped) return rn_reals(dy);
  if (dropped) {
    rn_real *dropped_dy = layer->bf16 ? scratch : rn_array_reals(t->d_out);
    copy(dropped_dy, dy, count);
    apply_dropout(layer, unit, s.site, t->train, dropped_dy);
    dy = dropped_dy;
  }
  store(t->d_out, dy, count);
  return t->d_out;
}

/* With pre-norm, computes the gradient of the norm's input from the gradient of the block's input,
 * in place in d. With `recompute`, also recomputes the block's input. */
static void backward_block_input(const rn_layer *layer, const rn_pass *pass, sublayer s,
                                 bool recompute, const rn_real *dy, rn_real *d) {
  const rn_rows rows = rn_rows_of_unit(pass->unit);
  rn_span_phase("norms, residual");
  if (layer->pre_norm) {
    const rn_norm_grads grads = {.x = s.residual_in,
                                 .stat = s.stat,
                                 .dy = d,
                                 .add = layer->residual == 1 ? dy : NULL,
                                 .dx = d,
                                 .y = recompute ? s.in : rn_reals(NULL)};
    rn_norm_backward(s.norm, pass->params, rows, &grads, pass->accumulator);
  } else if (recompute) {
    store(s.in, s.residual_in, rows.count * s.norm->width);
  }
}

/* Computes d += residual * dy, unless backward_block_input has already done so. */
static void add_residual_gradient(const rn_layer *layer, const rn_pass *pass, const rn_real *dy,
                                  rn_real *d) {
  const rn_residual rows = {.factor = layer->residual, .x = dy, .branch = d, .sum = d};
  rn_span_phase("norms, residual");
  if (layer->pre_norm && layer->residual == 1) return;
  rn_residual_forward(&rows, pass->params, pass->unit, layer->retention_norm.width);
}

/* Accumulates the weight gradients of the feed-forward block. The gradient of fc1 is deferred if
 * its operands stay live long enough. */
static void accumulate_ffn_weights(const rn_layer *layer, const rn_pass *pass,
                                   const rn_layer_activations *t, rn_array dy) {
  const rn_rows rows = rn_rows_of_unit(pass->unit);
  const int waiting = t->defers_inputs && pass->queue != NULL ? 1 : 0;
  rn_weight_queue *queue = waiting ? pass->queue : NULL;
  rn_weight_product fc1_fc2[2];
  rn_span_phase("weight gradient GEMMs");
  rn_ffn_weight_products(&layer->ffn, t->in2, dy, &t->ffn, fc1_fc2);
  rn_grad_accumulator_defer(pass->accumulator, queue, rows, fc1_fc2, waiting);
  rn_grad_accumulator_products(pass->accumulator, queue, rows, fc1_fc2 + waiting, 2 - waiting);
}

/* Sets `out` to the operands of the matrix products that compute the weight gradients of the
 * projections of k, v, q and g. */
static void products_in(const rn_layer *layer, const rn_layer_activations *t,
                        rn_weight_product out[2]) {
  if (layer->attends) {
    rn_block_attention_products_in(layer->attention, &layer->at, t->in1, &t->attention, out);
  } else {
    rn_block_retention_products_in(layer->retention, &layer->at, t->in1, &t->retention, out);
  }
}

/* Accumulates the weight gradients of the projections of k, v, q and g. They are deferred if their
 * operands stay live long enough. */
static void accumulate_projection_weights(const rn_layer *layer, const rn_pass *pass,
                                          const rn_layer_activations *t) {
  rn_weight_product kv_qg[2];
  rn_span_phase("weight gradient GEMMs");
  products_in(layer, t, kv_qg);
  rn_grad_accumulator_defer(pass->accumulator, t->defers_inputs ? pass->queue : NULL,
                            rn_rows_of_unit(pass->unit), kv_qg, 2);
}

/* Computes d, the gradient of the rows between the sublayers, from dy, the gradient of the
 * layer's output. */
static void ffn_backward(const rn_layer *layer, const rn_pass *pass, rn_layer_activations *t,
                         rn_real *dy, rn_real *d) {
  const rn_rows rows = rn_rows_of_unit(pass->unit);
  const sublayer s = ffn_sublayer(layer, t);
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_RESIDUAL);
  const rn_array d_out = gradient_of_block_output(layer, pass, s, t, dy, d);
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_FFN);
  rn_ffn_backward_input(&layer->ffn, pass->params, rows, d_out, &t->ffn, d);
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_FFN_NORM);
  backward_block_input(layer, pass, s, t->recompute_inputs && pass->weights, dy, d);
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_FFN_WEIGHT);
  if (pass->weights) {
    accumulate_ffn_weights(layer, pass, t, d_out);
  } else {
    copy_array(gradient_at(layer, s.norm_in), d_out, rows.count * s.norm->width);
  }
  add_residual_gradient(layer, pass, dy, d);
}

/* Computes grads.dx, the gradient of the input of the retention or attention block, from grads.dy.
 */
static rn_status mix_backward(rn_err *err, const rn_layer *layer, const rn_pass *pass,
                              rn_layer_activations *t, rn_block_grads grads) {
  if (!layer->attends) {
    return rn_block_retention_backward_input(err, layer->retention, &layer->at, pass, grads,
                                             &t->retention);
  }
  return rn_block_attention_backward_input(err, layer->attention, &layer->at, pass,
                                           (rn_block_attention_io){grads.dy, grads.dx},
                                           &t->attention);
}

/* Computes d, the gradient of the layer's input, from dy, the gradient of the rows between the
 * sublayers. */
static rn_status retention_backward(rn_err *err, const rn_layer *layer, const rn_pass *pass,
                                    rn_layer_activations *t, rn_real *dy, rn_real *d) {
  const rn_rows rows = rn_rows_of_unit(pass->unit);
  const sublayer s = retention_sublayer(layer, t);
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_RETENTION);
  const rn_array d_out = gradient_of_block_output(layer, pass, s, t, dy, d);
  RN_TRY(err, mix_backward(err, layer, pass, t, (rn_block_grads){d_out, d}));
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_RETENTION_NORM);
  backward_block_input(layer, pass, s, t->recompute_inputs && pass->weights, dy, d);
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_QKVG_WEIGHT);
  if (pass->weights) {
    accumulate_projection_weights(layer, pass, t);
  } else {
    copy_array(gradient_at(layer, s.norm_in), d_out, rows.count * s.norm->width);
  }
  add_residual_gradient(layer, pass, dy, d);
  return RN_OK;
}

rn_status rn_layer_backward_input(rn_err *err, const rn_layer *layer, const rn_pass *pass,
                                  rn_layer_activations *t, rn_real *dy) {
  rn_workspace_enter(t->workspace, rn_layer_kind(layer));
  ffn_backward(layer, pass, t, dy, t->d_middle);
  return retention_backward(err, layer, pass, t, t->d_middle, dy);
}

void rn_layer_defer_weights(const rn_layer *layer, rn_rows rows, const rn_layer_activations *t,
                            rn_grad_accumulator *accumulator, rn_weight_queue *queue) {
  const rn_array d_ffn = gradient_at(layer, t->norm_in2);
  const rn_array d_retention = gradient_at(layer, t->norm_in1);
  rn_weight_product products[5];
  rn_ffn_weight_products(&layer->ffn, t->in2, d_ffn, &t->ffn, products);
  products[2] = layer->attends ? rn_block_attention_product_out(layer->attention, &layer->at,
                                                                d_retention, &t->attention)
                               : rn_block_retention_product_out(layer->retention, &layer->at,
                                                                d_retention, &t->retention);
  products_in(layer, t, products + 3);
  rn_grad_accumulator_defer(accumulator, queue, rows, products, 5);
}
