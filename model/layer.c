#include "model/layer.h"

#include "model/dropout.h"
#include "proto/span.h"

static size_t row_bytes(const rn_layer *layer, int64_t rows) {
  return rn_arena_round((size_t)(rows * layer->retention_norm.width) * sizeof(rn_real));
}

static size_t stat_bytes(int64_t rows) {
  return rn_arena_round((size_t)(2 * rows) * sizeof(rn_real));
}

size_t rn_layer_tape_bytes(const rn_layer *layer, int64_t rows) {
  return 4 * row_bytes(layer, rows) + 2 * stat_bytes(rows) +
         rn_block_retention_tape_bytes(layer->retention) + rn_ffn_tape_bytes(&layer->ffn, rows);
}

rn_layer_tape rn_layer_tape_take(const rn_layer *layer, int64_t rows, rn_arena *arena) {
  rn_layer_tape tape = {.norm_in1 = rn_arena_take(arena, row_bytes(layer, rows)),
                        .in1 = rn_arena_take(arena, row_bytes(layer, rows)),
                        .norm_in2 = rn_arena_take(arena, row_bytes(layer, rows)),
                        .in2 = rn_arena_take(arena, row_bytes(layer, rows)),
                        .stat1 = rn_arena_take(arena, stat_bytes(rows)),
                        .stat2 = rn_arena_take(arena, stat_bytes(rows))};
  tape.retention = rn_block_retention_tape_take(layer->retention, arena);
  tape.ffn = rn_ffn_tape_take(&layer->ffn, rows, arena);
  return tape;
}

static void copy(rn_real *to, const rn_real *from, int64_t count) {
  if (to == from) return;
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < count; i++) to[i] = from[i];
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

rn_status rn_layer_forward(rn_err *err, const rn_layer *layer, const rn_real *params,
                           const rn_unit *unit, rn_form form, bool train, rn_scan_port *port,
                           const rn_real *x, rn_layer_tape *t, rn_real *y) {
  const rn_rows rows = rn_rows_of_unit(unit);
  const int64_t count = rows.count * layer->retention_norm.width;
  rn_real *branch = layer->scratch;
  t->train = train;
  rn_span_phase("norms, residual");
  copy(rn_layer_tape_input(layer, t), x, count);
  if (layer->pre_norm) {
    rn_norm_forward(&layer->retention_norm, params, rows.count, t->norm_in1, t->in1, t->stat1);
  }
  const rn_block_input in = {.x = t->in1,
                             .raw = layer->pre_norm ? t->norm_in1 : t->in1,
                             .norm = layer->pre_norm ? &layer->retention_norm : NULL};
  RN_TRY(err, rn_block_retention_forward(err, layer->retention, params, &layer->at, unit, form,
                                         layer->index, port, in, &t->retention, branch));
  rn_span_phase("norms, residual");
  drop(layer, unit, RN_DROPOUT_RETENTION, train, branch);
  if (layer->pre_norm) {
    join(layer, t->norm_in1, branch, count, t->norm_in2);
    rn_norm_forward(&layer->ffn_norm, params, rows.count, t->norm_in2, t->in2, t->stat2);
  } else {
    join(layer, t->in1, branch, count, t->norm_in1);
    rn_norm_forward(&layer->retention_norm, params, rows.count, t->norm_in1, t->in2, t->stat1);
  }
  rn_ffn_forward(&layer->ffn, params, rows, t->in2, &t->ffn, branch);
  rn_span_phase("norms, residual");
  drop(layer, unit, RN_DROPOUT_FFN, train, branch);
  if (layer->pre_norm) {
    join(layer, t->norm_in2, branch, count, y);
  } else {
    join(layer, t->in2, branch, count, t->norm_in2);
    rn_norm_forward(&layer->ffn_norm, params, rows.count, t->norm_in2, y, t->stat2);
  }
  return RN_OK;
}

/* dy becomes the gradient of the ffn block's input side; norm_in2 keeps that of its output. */
static void ffn_backward(const rn_layer *layer, const rn_real *params, const rn_unit *unit,
                         rn_layer_tape *t, rn_real *dy, rn_sink *sink) {
  const rn_rows rows = rn_rows_of_unit(unit);
  const int64_t count = rows.count * layer->retention_norm.width;
  rn_real *d = layer->scratch;
  rn_span_phase("norms, residual");
  if (layer->pre_norm) {
    rn_real *d_out = layer->d_out;
    copy(d_out, dy, count);
    drop(layer, unit, RN_DROPOUT_FFN, t->train, d_out);
    rn_ffn_backward_input(&layer->ffn, params, rows, d_out, &t->ffn, layer->ffn_work, d);
    rn_span_phase("norms, residual");
    for (int64_t i = 0; layer->residual != 1 && i < count; i++) dy[i] *= layer->residual;
    rn_norm_backward(&layer->ffn_norm, params, rows, t->norm_in2, t->stat2, d, dy, dy, sink);
    copy(t->norm_in2, d_out, count);
    return;
  }
  rn_norm_backward(&layer->ffn_norm, params, rows, t->norm_in2, t->stat2, dy, NULL, dy, sink);
  copy(t->norm_in2, dy, count);
  drop(layer, unit, RN_DROPOUT_FFN, t->train, t->norm_in2);
  rn_ffn_backward_input(&layer->ffn, params, rows, t->norm_in2, &t->ffn, layer->ffn_work, d);
  rn_span_phase("norms, residual");
  join(layer, dy, d, count, dy);
  rn_norm_backward(&layer->retention_norm, params, rows, t->norm_in1, t->stat1, dy, NULL, dy, sink);
}

rn_status rn_layer_backward_input(rn_err *err, const rn_layer *layer, const rn_real *params,
                                  const rn_unit *unit, rn_scan_port *port, rn_layer_tape *t,
                                  rn_real *dy, rn_sink *sink) {
  const rn_rows rows = rn_rows_of_unit(unit);
  const int64_t count = rows.count * layer->retention_norm.width;
  rn_real *d = layer->scratch;
  ffn_backward(layer, params, unit, t, dy, sink);
  rn_real *d_out = layer->d_out;
  copy(d_out, dy, count);
  drop(layer, unit, RN_DROPOUT_RETENTION, t->train, d_out);
  RN_TRY(err, rn_block_retention_backward_input(err, layer->retention, params, &layer->at, unit,
                                                layer->index, port, d_out, &t->retention, d, sink));
  rn_span_phase("norms, residual");
  if (layer->pre_norm) {
    for (int64_t i = 0; layer->residual != 1 && i < count; i++) dy[i] *= layer->residual;
    rn_norm_backward(&layer->retention_norm, params, rows, t->norm_in1, t->stat1, d, dy, dy, sink);
  } else {
    join(layer, dy, d, count, dy);
  }
  copy(t->norm_in1, d_out, count);
  return RN_OK;
}

void rn_layer_backward_weight(const rn_layer *layer, rn_rows rows, const rn_layer_tape *tape,
                              rn_sink *sink) {
  rn_ffn_backward_weight(&layer->ffn, rows, tape->in2, tape->norm_in2, &tape->ffn, sink);
  rn_block_retention_backward_weight(layer->retention, &layer->at, rows, tape->in1, tape->norm_in1,
                                     &tape->retention, sink);
}
