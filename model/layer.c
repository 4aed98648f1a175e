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

static bool needs_d_out(const rn_layer *layer, bool drops, bool weights) {
  return layer->half || drops || !weights;
}

bool rn_layer_needs_d_out(const rn_layer *layer, bool weights) {
  return needs_d_out(layer, layer->dropout != 0, weights);
}

/* The gradient of a block's output, from dy behind its dropout: dy itself, where it may be. */
static rn_array gradient_of(const rn_layer *layer, const rn_unit *unit, rn_dropout_place place,
                            bool train, bool weights, rn_real *dy) {
  const int64_t count = rn_rows_of_unit(unit).count * layer->retention_norm.width;
  const bool drops = train && layer->dropout != 0;
  if (!needs_d_out(layer, drops, weights)) return rn_reals(dy);
  if (drops) {
    rn_real *dropped = layer->half ? layer->scratch : rn_array_reals(layer->d_out);
    copy(dropped, dy, count);
    drop(layer, unit, place, train, dropped);
    dy = dropped;
  }
  put(layer->d_out, dy, count);
  return layer->d_out;
}

/* A block's input, from what goes past it. */
static void feed(const rn_layer *layer, const rn_real *params, const rn_norm *norm, int64_t rows,
                 const rn_real *past, rn_array in, rn_real *stat) {
  if (layer->pre_norm) {
    rn_norm_forward(norm, params, rows, past, in, stat);
  } else {
    put(in, past, rows * norm->width);
  }
}

static void feed_retention(const rn_layer *layer, const rn_real *params, int64_t rows,
                           rn_layer_tape *t) {
  feed(layer, params, &layer->retention_norm, rows, t->past1, t->in1, t->stat1);
}

static void feed_ffn(const rn_layer *layer, const rn_real *params, int64_t rows, rn_layer_tape *t) {
  feed(layer, params, &layer->ffn_norm, rows, t->past2, t->in2, t->stat2);
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
  feed_retention(layer, params, rows.count, t);
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
  feed_ffn(layer, params, rows.count, t);
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

/* dy becomes the gradient of the ffn block's input side. */
static void ffn_backward(const rn_layer *layer, const rn_real *params, const rn_unit *unit,
                         rn_layer_tape *t, bool weights, rn_real *dy, rn_sink *sink) {
  const rn_rows rows = rn_rows_of_unit(unit);
  const int64_t count = rows.count * layer->retention_norm.width;
  rn_real *d = layer->scratch;
  rn_span_phase("norms, residual");
  if (!layer->pre_norm) {
    rn_norm_backward(&layer->ffn_norm, params, rows, t->norm_in2, t->stat2, dy, NULL, dy, sink);
  }
  const rn_array d_out = gradient_of(layer, unit, RN_DROPOUT_FFN, t->train, weights, dy);
  rn_ffn_backward_input(&layer->ffn, params, rows, d_out, &t->ffn, d);
  if (weights) {
    rn_span_phase("norms, residual");
    if (t->lent) feed_ffn(layer, params, rows.count, t);
    rn_ffn_backward_weight(&layer->ffn, rows, t->in2, d_out, &t->ffn, sink);
  }
  rn_span_phase("norms, residual");
  if (layer->pre_norm) {
    for (int64_t i = 0; layer->residual != 1 && i < count; i++) dy[i] *= layer->residual;
    rn_norm_backward(&layer->ffn_norm, params, rows, t->norm_in2, t->stat2, d, dy, dy, sink);
  } else {
    join(layer, dy, d, count, dy);
    rn_norm_backward(&layer->retention_norm, params, rows, t->norm_in1, t->stat1, dy, NULL, dy,
                     sink);
  }
  if (!weights) copy_array(gradient_at(layer, t->norm_in2), d_out, count);
}

rn_status rn_layer_backward_input(rn_err *err, const rn_layer *layer, const rn_real *params,
                                  const rn_unit *unit, rn_scan_port *port, rn_layer_tape *t,
                                  bool weights, rn_real *dy, rn_sink *sink) {
  const rn_rows rows = rn_rows_of_unit(unit);
  const int64_t count = rows.count * layer->retention_norm.width;
  rn_real *d = layer->scratch;
  ffn_backward(layer, params, unit, t, weights, dy, sink);
  const rn_array d_out = gradient_of(layer, unit, RN_DROPOUT_RETENTION, t->train, weights, dy);
  RN_TRY(err, rn_block_retention_backward_input(err, layer->retention, params, &layer->at, unit,
                                                layer->index, port, d_out, &t->retention, weights,
                                                d, sink));
  if (weights) {
    rn_span_phase("norms, residual");
    if (t->lent) feed_retention(layer, params, rows.count, t);
    rn_block_retention_backward_weight_in(layer->retention, &layer->at, rows, t->in1, &t->retention,
                                          sink);
  }
  rn_span_phase("norms, residual");
  if (layer->pre_norm) {
    for (int64_t i = 0; layer->residual != 1 && i < count; i++) dy[i] *= layer->residual;
    rn_norm_backward(&layer->retention_norm, params, rows, t->norm_in1, t->stat1, d, dy, dy, sink);
  } else {
    join(layer, dy, d, count, dy);
  }
  if (!weights) copy_array(gradient_at(layer, t->norm_in1), d_out, count);
  return RN_OK;
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
