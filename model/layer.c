#include "model/layer.h"

#include "model/dropout.h"
#include "model/kernel/kernels.h"
#include "proto/span.h"

static void copy(rn_real *to, const rn_real *from, int64_t count) {
  if (to == from) return;
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < count; i++) to[i] = from[i];
}

static void copy_array(rn_array to, rn_array from, int64_t count) {
  if (!to.half) {
    copy(rn_array_reals(to), rn_array_reals(from), count);
    return;
  }
  rn_half *y = rn_array_halves(to);
  const rn_half *x = rn_array_halves(from);
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < count; i++) y[i] = x[i];
}

/* to = x, in the type of `to` */
static void put(rn_array to, const rn_real *x, int64_t count) {
  enum { PIECE = 1 << 14 };
  const rn_kernels *kernels = rn_kernels_table();
  if (!to.half) {
    copy(rn_array_reals(to), x, count);
    return;
  }
#pragma omp parallel for schedule(static)
  for (int64_t at = 0; at < count; at += PIECE) {
    const int64_t left = count - at;
    kernels->round_bf16(left < PIECE ? left : PIECE, x + at, rn_array_halves(to) + at);
  }
}

/* to = residual x + branch */
static void join(const rn_layer *layer, const rn_real *x, const rn_real *branch, int64_t count,
                 rn_real *to) {
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < count; i++) to[i] = layer->residual * x[i] + branch[i];
}

static void drop(const rn_layer *layer, const rn_unit *unit, rn_dropout_place place, bool train,
                 rn_real *rows) {
  if (!train) return;
  rn_dropout_rows(layer->dropout, layer->seed, unit, layer->number, place,
                  layer->retention_norm.width, rows);
}

static bool drops(const rn_layer *layer, bool train) {
  return train && layer->dropout != 0;
}

bool rn_layer_needs_d_out(const rn_layer *layer) {
  return layer->half || drops(layer, true);
}

/* A block with what stands around it: norm, dropout, what goes past it, and rows of a tape. */
typedef struct half {
  const rn_norm *norm;
  rn_dropout_place place;
  rn_real *norm_in, *stat;
  rn_real *past;
  rn_array in;
} half;

static half retention_half(const rn_layer *layer, const rn_layer_tape *t) {
  return (half){
      &layer->retention_norm, RN_DROPOUT_RETENTION, t->norm_in1, t->stat1, t->past1, t->in1};
}

static half ffn_half(const rn_layer *layer, const rn_layer_tape *t) {
  return (half){&layer->ffn_norm, RN_DROPOUT_FFN, t->norm_in2, t->stat2, t->past2, t->in2};
}

/* A block's input, from what goes past it. */
static void feed(const rn_layer *layer, const rn_real *params, int64_t rows, half h) {
  if (layer->pre_norm) {
    rn_norm_forward(h.norm, params, rows, h.past, h.in, h.stat);
  } else {
    put(h.in, h.past, rows * h.norm->width);
  }
}

rn_status rn_layer_forward(rn_err *err, const rn_layer *layer, const rn_real *params,
                           const rn_unit *unit, rn_form form, bool train, rn_scan_port *port,
                           const rn_real *x, rn_layer_tape *t, rn_real *y) {
  const rn_rows rows = rn_rows_of_unit(unit);
  const int64_t count = rows.count * layer->retention_norm.width;
  rn_real *branch = layer->scratch;
  t->train = train;
  rn_span_phase("norms, residual");
  copy(rn_layer_tape_input(t), x, count);
  feed(layer, params, rows.count, retention_half(layer, t));
  const rn_block_input in = {
      .x = t->in1, .raw = t->past1, .norm = layer->pre_norm ? &layer->retention_norm : NULL};
  RN_TRY(err, rn_block_retention_forward(err, layer->retention, params, &layer->at, unit, form,
                                         layer->index, port, in, &t->retention, branch));
  rn_span_phase("norms, residual");
  drop(layer, unit, RN_DROPOUT_RETENTION, train, branch);
  if (layer->pre_norm) {
    join(layer, t->past1, branch, count, t->norm_in2);
  } else {
    join(layer, t->past1, branch, count, t->norm_in1);
    rn_norm_forward(&layer->retention_norm, params, rows.count, t->norm_in1, rn_reals(t->past2),
                    t->stat1);
  }
  feed(layer, params, rows.count, ffn_half(layer, t));
  const bool asked = y != NULL;
  rn_ffn_forward(&layer->ffn, params, rows, t->in2, &t->ffn,
                 asked || !layer->pre_norm ? branch : NULL);
  if (!asked && layer->pre_norm) return RN_OK;
  rn_span_phase("norms, residual");
  drop(layer, unit, RN_DROPOUT_FFN, train, branch);
  if (layer->pre_norm) {
    join(layer, t->past2, branch, count, y);
  } else {
    join(layer, t->past2, branch, count, t->norm_in2);
    rn_norm_forward(&layer->ffn_norm, params, rows.count, t->norm_in2, rn_reals(asked ? y : branch),
                    t->stat2);
  }
  return RN_OK;
}

/* Where the gradient of a block's output is kept for the weights: in place of the norm's input. */
static rn_array gradient_at(const rn_layer *layer, rn_real *norm_in) {
  return (rn_array){norm_in, layer->half};
}

/* The gradient of a block's output, from dy of the half behind its norm and dropout, with room for
 * as many rows: dy itself, where it is that. */
static rn_array back_to_block(const rn_layer *layer, const rn_real *params, const rn_unit *unit,
                              half h, bool train, rn_real *dy, rn_real *room, rn_sink *sink) {
  const rn_rows rows = rn_rows_of_unit(unit);
  const int64_t count = rows.count * h.norm->width;
  const bool dropped = drops(layer, train);
  rn_span_phase("norms, residual");
  if (!layer->pre_norm) {
    rn_norm_backward(h.norm, params, rows, h.norm_in, h.stat, dy, NULL, dy, sink);
  }
  if (!layer->half && !dropped) return rn_reals(dy);
  if (dropped) {
    rn_real *behind = layer->half ? room : rn_array_reals(layer->d_out);
    copy(behind, dy, count);
    drop(layer, unit, h.place, train, behind);
    dy = behind;
  }
  put(layer->d_out, dy, count);
  return layer->d_out;
}

/* d, the gradient of a block's input, becomes that of the rows in front of its norm, with pre-norm;
 * and the input, if it was lent, is there again. */
static void back_through_feed(const rn_layer *layer, const rn_real *params, rn_rows rows, half h,
                              bool again, const rn_real *dy, rn_real *d, rn_sink *sink) {
  rn_span_phase("norms, residual");
  if (layer->pre_norm) {
    const rn_real *add = layer->residual == 1 ? dy : NULL;
    rn_norm_backward_again(h.norm, params, rows, h.past, h.stat, d, add, d,
                           again ? h.in : rn_reals(NULL), sink);
  } else if (again) {
    put(h.in, h.past, rows.count * h.norm->width);
  }
}

/* d += residual dy, where back_through_feed has not done it. */
static void back_past(const rn_layer *layer, const rn_real *dy, int64_t count, rn_real *d) {
  rn_span_phase("norms, residual");
  if (!layer->pre_norm || layer->residual != 1) join(layer, dy, d, count, d);
}

/* From dy, the gradient of the layer's rows, to that of the rows between its blocks, in d. */
static void ffn_backward(const rn_layer *layer, const rn_real *params, const rn_unit *unit,
                         rn_layer_tape *t, bool weights, rn_real *dy, rn_real *d, rn_sink *sink) {
  const rn_rows rows = rn_rows_of_unit(unit);
  const half h = ffn_half(layer, t);
  const int64_t count = rows.count * h.norm->width;
  const rn_array d_out = back_to_block(layer, params, unit, h, t->train, dy, d, sink);
  rn_ffn_backward_input(&layer->ffn, params, rows, d_out, &t->ffn, d);
  back_through_feed(layer, params, rows, h, t->lent && weights, dy, d, sink);
  if (weights) {
    rn_ffn_backward_weight(&layer->ffn, rows, h.in, d_out, &t->ffn, sink);
  } else {
    copy_array(gradient_at(layer, h.norm_in), d_out, count);
  }
  back_past(layer, dy, count, d);
}

/* From dy, the gradient of the rows between the blocks, to that of the layer's input, in d. */
static rn_status retention_backward(rn_err *err, const rn_layer *layer, const rn_real *params,
                                    const rn_unit *unit, rn_scan_port *port, rn_layer_tape *t,
                                    bool weights, rn_real *dy, rn_real *d, rn_sink *sink) {
  const rn_rows rows = rn_rows_of_unit(unit);
  const half h = retention_half(layer, t);
  const int64_t count = rows.count * h.norm->width;
  const rn_array d_out = back_to_block(layer, params, unit, h, t->train, dy, d, sink);
  RN_TRY(err, rn_block_retention_backward_input(err, layer->retention, params, &layer->at, unit,
                                                layer->index, port, d_out, &t->retention, weights,
                                                d, sink));
  back_through_feed(layer, params, rows, h, t->lent && weights, dy, d, sink);
  if (weights) {
    rn_block_retention_backward_weight_in(layer->retention, &layer->at, rows, h.in, &t->retention,
                                          sink);
  } else {
    copy_array(gradient_at(layer, h.norm_in), d_out, count);
  }
  back_past(layer, dy, count, d);
  return RN_OK;
}

rn_status rn_layer_backward_input(rn_err *err, const rn_layer *layer, const rn_real *params,
                                  const rn_unit *unit, rn_scan_port *port, rn_layer_tape *t,
                                  bool weights, rn_real *dy, rn_sink *sink) {
  rn_real *between = layer->scratch;
  ffn_backward(layer, params, unit, t, weights, dy, between, sink);
  return retention_backward(err, layer, params, unit, port, t, weights, between, dy, sink);
}

void rn_layer_backward_weight(const rn_layer *layer, rn_rows rows, const rn_layer_tape *tape,
                              rn_sink *sink) {
  rn_ffn_backward_weight(&layer->ffn, rows, tape->in2, gradient_at(layer, tape->norm_in2),
                         &tape->ffn, sink);
  rn_block_retention_backward_weight_out(layer->retention, &layer->at, rows,
                                         gradient_at(layer, tape->norm_in1), &tape->retention,
                                         sink);
  rn_block_retention_backward_weight_in(layer->retention, &layer->at, rows, tape->in1,
                                        &tape->retention, sink);
}
