#include "trainer/cost/step_cost.h"

#include "model/embed/embed.h"
#include "model/embed/head.h"
#include "model/ops/grad_accumulator.h"
#include "model/pass/row_slices.h"
#include "trainer/cost/cost_loops.h"
#include "trainer/optimizer/block.h"

/* Bytes that each row-wise operation reads and writes per element of a row. */
enum {
  NORM = 8,
  NORM_BACKWARD = 24,
  RESIDUAL = 12,
  ROTATE = 8,
  ROTATE_BACKWARD = 16,
  HEAD_NORM_AND_GATE = 32,
  GATE_BACKWARD = 40,
  GLU = 12,
  GLU_BACKWARD = 24,
  DECAY_AND_ADD = 12,
  CROSS_ENTROPY = 16,
  ZERO = 4,
  SQUARE = 4,
  UPDATE = 28
};

/*
 * Measured on a Zen 4 EPYC with retnet-bench gemm (products of 128x256x512 to 512x512x1024, all
 * three kinds) and retnet-bench kernels (row-wise kernels).
 */
rn_cost_rates rn_cost_rates_typical(bool bf16) {
  return (rn_cost_rates){.flop_s = bf16 ? 1 / 220e9 : 1 / 107e9,
                         .element_s = bf16 ? 0.1e-9 : 0.2e-9,
                         .byte_s = 1 / 20e9,
                         .loop_s = 1.5e-6};
}

rn_step_cost rn_step_cost_start(int threads) {
  return (rn_step_cost){.threads = threads};
}

static rn_cost_sum sum_of(rn_step_cost *cost, rn_cost_rates rates, const rn_cost_unit *unit,
                          int64_t times) {
  const int64_t rows = (int64_t)unit->sequences * unit->tokens;
  return (rn_cost_sum){.cost = cost,
                       .times = times,
                       .rates = rates,
                       .unit = unit,
                       .rows = {rows, unit->tokens, unit->reduction_block}};
}

static int inner_width(const rn_spec *spec) {
  return spec->ffn == RN_FFN_GLU ? 2 * spec->ffn_dim : spec->ffn_dim;
}

static int pair_width(const rn_spec *spec) {
  return spec->dim + spec->value_dim;
}

static int qg_width(const rn_spec *spec) {
  return spec->gate ? pair_width(spec) : spec->dim;
}

/* ---- retention ---- */

/* FLOP of the matrix products of a whole chunk. */
typedef struct chunk_flops {
  double state, inner, inner_backward;
} chunk_flops;

static chunk_flops flops_of(const rn_retention *r) {
  const double chunk = r->chunk, scores = chunk * (chunk + RN_CHUNK_TILE) / 2;
  return (chunk_flops){2 * chunk * r->key_width * r->value_width,
                       2 * scores * (r->key_width + r->value_width),
                       2 * scores * (3 * r->key_width + 2 * r->value_width)};
}

/* Adds the cost of one loop over the slabs of the states (a slab is a part of a head's state, whose
 * task goes through all chunks). There are two such loops: one sums the contributions of the
 * chunks, the other propagates the initial state through the chunks. */
static void add_slabs(rn_cost_sum *s, const rn_retention *r) {
  const int64_t slabs = rn_retention_slabs(r, s->unit->sequences);
  const double elements = (double)s->unit->sequences * r->heads * r->key_width * r->value_width;
  rn_cost_static(
      s, slabs, elements / (double)slabs * rn_retention_chunks(r, s->unit->tokens) * DECAY_AND_ADD);
}

/* Adds the cost of packing the weights [n, k] of one phase, for products of kind `kind`. */
static void add_packing(rn_cost_sum *s, rn_gemm_kind kind, const int (*weights)[2], int count) {
  const rn_array none = {NULL, s->unit->bf16};
  rn_packed_weight packed[2] = {{0}};
  for (int i = 0; i < count; i++) {
    const int n = weights[i][0], k = weights[i][1];
    packed[i] = kind == RN_GEMM_NT ? rn_weight_nt(n, k, none) : rn_weight_nn(n, k, none);
  }
  rn_cost_pack(s, packed, count);
}

/* Adds the cost of a projection. In fp32, sums of at most RN_FP64_SUM_MAX terms are computed in
 * double from the weight itself, so the weight is not packed. */
static void add_projection(rn_cost_sum *s, rn_cost_kind kind, const char *phase, int width) {
  const rn_spec *spec = s->unit->spec;
  const int weight[][2] = {{width, spec->dim}};
  const rn_cost_step step = {{width, rn_spec_key_width(spec), spec->dim}, ROTATE};
  rn_cost_phase(s, kind, phase);
  if (s->unit->bf16 || spec->dim > RN_FP64_SUM_MAX) add_packing(s, RN_GEMM_NT, weight, 1);
  rn_cost_tiles(s, &step, 1);
}

/* Adds the cost of the retention of all chunks, as if there were no scan between ranks: the state
 * at the start of the segment is available immediately, and all terms of a chunk are computed in
 * one phase. */
static void add_retention(rn_cost_sum *s, rn_cost_kind kind, const rn_retention *r) {
  const chunk_flops f = flops_of(r);
  const bool forward = kind == RN_COST_FORWARD;
  rn_cost_phase(s, kind, "chunk states");
  rn_cost_chunks(s, r, f.state);
  add_slabs(s, r);
  add_slabs(s, r);
  rn_cost_phase(s, kind, "retention (all terms)");
  rn_cost_chunks(s, r, forward ? f.inner + f.state : f.inner_backward + 3 * f.state);
  if (forward) rn_cost_items(s, s->rows.count, (double)r->heads * sizeof(float));
}

static void add_retention_forward(rn_cost_sum *s, rn_cost_kind kind) {
  const rn_spec *spec = s->unit->spec;
  const rn_retention r = rn_retention_shape(spec, s->unit->tokens);
  const int D = spec->dim, K = rn_spec_key_width(spec);
  const rn_cost_step out[] = {{{spec->value_dim, 1, 0}, HEAD_NORM_AND_GATE},
                              {{D, 1, spec->value_dim}, 0}};
  add_projection(s, kind, "k, v projections", pair_width(spec));
  add_projection(s, kind, "q, g projections", qg_width(spec));
  add_retention(s, kind, &r);
  rn_cost_phase(s, kind, "retention of first tokens");
  rn_cost_static(s, (int64_t)s->unit->sequences * r.heads, 2.0 * sizeof(float) * K * D);
  rn_cost_phase(s, kind, "head norm, gate, out projection");
  add_packing(s, RN_GEMM_NT, (const int[][2]){{D, spec->value_dim}}, 1);
  rn_cost_tiles(s, out, 2);
}

static void add_retention_backward(rn_cost_sum *s) {
  const rn_spec *spec = s->unit->spec;
  const rn_retention r = rn_retention_shape(spec, s->unit->tokens);
  const int D = spec->dim, pair = pair_width(spec), qg = qg_width(spec);
  const rn_cost_step out = {{spec->value_dim, rn_spec_value_width(spec), D}, GATE_BACKWARD};
  const rn_cost_step qkvg[] = {{{pair, 1, 0}, ROTATE_BACKWARD}, {{D, 1, pair + qg}, 0}};
  rn_cost_phase(s, RN_COST_BACKWARD, "head norm, gate, out projection");
  add_packing(s, RN_GEMM_NN, (const int[][2]){{spec->value_dim, D}}, 1);
  rn_cost_tiles(s, &out, 1);
  add_retention(s, RN_COST_BACKWARD, &r);
  rn_cost_phase(s, RN_COST_BACKWARD, "k, v, q, g projections");
  add_packing(s, RN_GEMM_NN, (const int[][2]){{D, pair}, {D, qg}}, 2);
  rn_cost_tiles(s, qkvg, 2);
}

/* ---- softmax attention ---- */

/* Returns the number of columns of k and v together. */
static int kv_width(const rn_spec *spec) {
  return 2 * spec->kv_heads * rn_spec_attention_width(spec);
}

static void add_attention_forward(rn_cost_sum *s, rn_cost_kind kind) {
  const rn_spec *spec = s->unit->spec;
  const rn_attention a = rn_attention_shape(spec, s->unit->sequences, s->unit->tokens);
  const int D = spec->dim, pair = kv_width(spec);
  const rn_cost_step in[] = {{{pair, a.width, D}, ROTATE}, {{D, a.width, D}, ROTATE}};
  const rn_cost_step out = {{D, 1, D}, 0};
  rn_cost_phase(s, kind, "q, k, v projections");
  if (s->unit->bf16 || D > RN_FP64_SUM_MAX) {
    add_packing(s, RN_GEMM_NT, (const int[][2]){{pair, D}, {D, D}}, 2);
  }
  rn_cost_tiles(s, in, 2);
  rn_cost_phase(s, kind, "attention");
  rn_cost_attention(s, &a, false);
  rn_cost_phase(s, kind, "attention out projection");
  add_packing(s, RN_GEMM_NT, (const int[][2]){{D, D}}, 1);
  rn_cost_tiles(s, &out, 1);
}

static void add_attention_backward(rn_cost_sum *s) {
  const rn_spec *spec = s->unit->spec;
  const rn_attention a = rn_attention_shape(spec, s->unit->sequences, s->unit->tokens);
  const int D = spec->dim, pair = kv_width(spec);
  const rn_cost_step out = {{D, 1, D}, 0};
  const rn_cost_step in[] = {{{D, 1, 0}, ROTATE_BACKWARD}, {{D, 1, pair + D}, 0}};
  rn_cost_phase(s, RN_COST_BACKWARD, "attention out projection");
  add_packing(s, RN_GEMM_NN, (const int[][2]){{D, D}}, 1);
  rn_cost_tiles(s, &out, 1);
  rn_cost_phase(s, RN_COST_BACKWARD, "attention");
  rn_cost_attention(s, &a, true);
  rn_cost_phase(s, RN_COST_BACKWARD, "q, k, v projections");
  add_packing(s, RN_GEMM_NN, (const int[][2]){{D, pair}, {D, D}}, 2);
  rn_cost_tiles(s, in, 2);
}

/* ---- layers ---- */

/* Adds the cost of one loop over the rows: a norm, a residual connection, or both
 * (model/ops/residual.h). */
static void add_row_loop(rn_cost_sum *s, rn_cost_kind kind, int bytes_per_element) {
  rn_cost_phase(s, kind, "norms, residual");
  rn_cost_items(s, s->rows.count, (double)bytes_per_element * s->unit->spec->dim);
}

static void add_norm_backward(rn_cost_sum *s, const char *phase, rn_rows rows) {
  const int64_t parts = rn_row_slices_of(rows).count;
  rn_cost_phase(s, RN_COST_BACKWARD, phase);
  rn_cost_static(s, parts, (double)rows.count / (double)parts * NORM_BACKWARD * s->unit->spec->dim);
}

static void add_forward(rn_cost_sum *s, rn_cost_kind kind, bool whole) {
  const rn_spec *spec = s->unit->spec;
  const int D = spec->dim, F = spec->ffn_dim, per_column = inner_width(spec) / F * D;
  const rn_cost_step ffn[] = {{{F, 1, per_column}, whole ? GLU : 0}, {{D, 1, F}, 0}};
  add_row_loop(s, kind, NORM);
  if (s->unit->attends) {
    add_attention_forward(s, kind);
  } else {
    add_retention_forward(s, kind);
  }
  add_row_loop(s, kind, RESIDUAL + NORM);
  rn_cost_phase(s, kind, "feed-forward");
  add_packing(s, RN_GEMM_NT, (const int[][2]){{inner_width(spec), D}, {D, F}}, 2);
  rn_cost_tiles(s, ffn, whole ? 2 : 1);
  if (whole) add_row_loop(s, kind, RESIDUAL);
}

/* Adds the cost of the weight gradients of a layer, as if all their tasks formed one loop. In the
 * model, products wait in a queue, and threads without a task of the current product take tasks
 * from the queue (model/ops/weight_queue.h). */
static void add_weights(rn_cost_sum *s) {
  const rn_spec *spec = s->unit->spec;
  const int D = spec->dim;
  const bool attends = s->unit->attends;
  const int weights[][2] = {{D, spec->ffn_dim},
                            {inner_width(spec), D},
                            {D, attends ? D : spec->value_dim},
                            {attends ? kv_width(spec) : pair_width(spec), D},
                            {attends ? D : qg_width(spec), D}};
  rn_cost_phase(s, RN_COST_WEIGHT, "weight gradient GEMMs");
  rn_cost_weights(s, s->rows.count, weights, sizeof weights / sizeof weights[0]);
}

static void add_backward(rn_cost_sum *s) {
  const rn_spec *spec = s->unit->spec;
  const int D = spec->dim, F = spec->ffn_dim, inner = inner_width(spec);
  const rn_cost_step ffn[] = {{{F, 1, D}, GLU_BACKWARD}, {{D, 1, inner}, 0}};
  rn_cost_phase(s, RN_COST_BACKWARD, "feed-forward");
  add_packing(s, RN_GEMM_NN, (const int[][2]){{D, inner}, {F, D}}, 2);
  rn_cost_tiles(s, ffn, 2);
  add_norm_backward(s, "norms, residual", s->rows);
  if (s->unit->attends) {
    add_attention_backward(s);
  } else {
    add_retention_backward(s);
  }
  add_norm_backward(s, "norms, residual", s->rows);
  add_weights(s);
}

void rn_step_cost_add_layer(rn_step_cost *cost, rn_cost_rates rates, const rn_cost_unit *unit,
                            int64_t times) {
  rn_cost_sum s = sum_of(cost, rates, unit, times);
  add_forward(&s, RN_COST_FORWARD, true);
  if (unit->recompute) add_forward(&s, RN_COST_BACKWARD, false);
  add_backward(&s);
}

void rn_step_cost_add_layers(rn_step_cost *cost, rn_cost_rates rates, const rn_cost_unit *unit,
                             rn_range layers, int64_t times) {
  const int attending = rn_spec_attention_layers(unit->spec, (int)layers.begin, (int)layers.end);
  const int64_t retaining = rn_range_count(layers) - attending;
  rn_cost_unit of_kind = *unit;
  of_kind.attends = false;
  if (retaining > 0) rn_step_cost_add_layer(cost, rates, &of_kind, retaining * times);
  of_kind.attends = true;
  if (attending > 0) rn_step_cost_add_layer(cost, rates, &of_kind, attending * times);
}

/* ---- embedding and head ---- */

/* Adds the cost of the gradient of the head's input, after its norm. The sums over a large
 * vocabulary are divided into several partial sums. */
static void add_d_normed(rn_cost_sum *s, const rn_head *head) {
  const int D = head->dim, N = head->vocab, pieces = head->pieces;
  const rn_cost_step whole = {{D, 1, N}, 0},
                     in_pieces[] = {{{pieces * D, D, N / pieces}, 0},
                                    {{D, 1, 0}, (double)sizeof(float) * (pieces + 1)}};
  if (pieces > 1) {
    s->rows = rn_rows_together(s->rows.count);
    rn_cost_tiles(s, in_pieces, 2);
  } else {
    rn_cost_tiles(s, &whole, 1);
  }
}

/* Adds the cost of the head for one block of rows, s->rows. */
static void add_head_block(rn_cost_sum *s, const rn_head *head) {
  const int D = head->dim, N = head->vocab;
  const int64_t rows = s->rows.count;
  const rn_cost_step loss[] = {{rn_head_logits_shape(head), 0}, {{N, 1, 0}, CROSS_ENTROPY}};
  rn_cost_phase(s, RN_COST_BACKWARD, "head");
  if (head->has_norm) rn_cost_items(s, rows, (double)NORM * D);
  rn_cost_tiles(s, loss, 2);
  rn_cost_weights(s, rows, (const int[][2]){{N, D}}, 1);
  add_d_normed(s, head);
  if (head->has_norm) add_norm_backward(s, "head", rn_rows_together(rows));
}

void rn_step_cost_add_ends(rn_step_cost *cost, rn_cost_rates rates, const rn_cost_unit *unit,
                           int64_t times) {
  const rn_param_table no_offsets = {0};
  rn_cost_sum s = sum_of(cost, rates, unit, times);
  const rn_head head = rn_head_make(unit->spec, &no_offsets);
  const int64_t rows = s.rows.count;
  const int D = unit->spec->dim, slices = (D + RN_EMBED_SLICE - 1) / RN_EMBED_SLICE;
  rn_cost_phase(&s, RN_COST_FORWARD, "embedding");
  rn_cost_items(&s, rows, (double)2 * sizeof(float) * D);
  for (int64_t at = 0; at < rows; at += head.block) {
    const int64_t count = rn_smaller(head.block, rows - at);
    s.rows = (rn_rows){count, (int)count, head.block};
    add_head_block(&s, &head);
  }
  rn_cost_phase(&s, RN_COST_BACKWARD, "embedding");
  const int64_t tasks = (int64_t)slices * RN_EMBED_GROUPS;
  rn_cost_static(&s, tasks, (double)rows * RESIDUAL * D / (double)tasks);
}

/* ---- update ---- */

/* Adds the cost of a loop over the weights in blocks. */
static void add_blocks(rn_cost_sum *s, const char *phase, int64_t parameters, int64_t block,
                       double bytes) {
  rn_cost_phase(s, RN_COST_UPDATE, phase);
  rn_cost_static(s, (parameters + block - 1) / block, bytes * (double)block);
}

void rn_step_cost_add_update(rn_step_cost *cost, rn_cost_rates rates, int64_t parameters) {
  rn_cost_sum s = {.cost = cost, .times = 1, .rates = rates};
  add_blocks(&s, "zero gradients", parameters, RN_ZERO_BLOCK, ZERO);
  add_blocks(&s, "gradient norm", parameters, RN_BLOCK, SQUARE);
  add_blocks(&s, "update", parameters, RN_BLOCK, UPDATE);
}

/* ---- results ---- */

double rn_step_cost_time_of(const rn_step_cost *cost, rn_cost_kind first, rn_cost_kind last) {
  double sum_s = 0;
  for (int i = 0; i < cost->count; i++) {
    const rn_phase_cost *phase = &cost->phase[i];
    if (phase->kind >= first && phase->kind <= last) sum_s += phase->time_s;
  }
  return sum_s;
}

double rn_step_cost_total(const rn_step_cost *cost) {
  return rn_step_cost_time_of(cost, RN_COST_FORWARD, RN_COST_UPDATE);
}

double rn_phase_cost_efficiency(const rn_phase_cost *phase, int threads) {
  return phase->time_s > 0 ? phase->work_s / (threads * phase->time_s) : 1;
}

double rn_step_cost_efficiency_of(const rn_step_cost *cost, rn_cost_kind first, rn_cost_kind last) {
  rn_phase_cost sum = {0};
  for (int i = 0; i < cost->count; i++) {
    const rn_phase_cost *phase = &cost->phase[i];
    if (phase->kind < first || phase->kind > last) continue;
    sum.work_s += phase->work_s;
    sum.time_s += phase->time_s;
  }
  return rn_phase_cost_efficiency(&sum, cost->threads);
}

double rn_step_cost_efficiency(const rn_step_cost *cost) {
  return rn_step_cost_efficiency_of(cost, RN_COST_FORWARD, RN_COST_UPDATE);
}

static double idle_s(const rn_phase_cost *phase, int threads) {
  return phase->time_s - phase->work_s / threads;
}

const rn_phase_cost *rn_step_cost_max_idle(const rn_step_cost *cost) {
  const rn_phase_cost *most = NULL;
  for (int i = 0; i < cost->count; i++) {
    const rn_phase_cost *phase = &cost->phase[i];
    if (most == NULL || idle_s(phase, cost->threads) > idle_s(most, cost->threads)) most = phase;
  }
  return most;
}
