#include "model/retention/block_retention.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <string.h>

#include "model/ops/load_row.h"
#include "model/ops/matmul.h"
#include "model/ops/tile_steps.h"
#include "model/retention/block_retention_weights.h"
#include "model/retention/eager_completion.h"
#include "model/retention/first_token.h"
#include "proto/base/span.h"

static rn_retention_view view_of(const rn_block_retention *b, const rn_unit *unit,
                                 const rn_block_retention_activations *activations) {
  return (rn_retention_view){.sequences = unit->sequences,
                             .tokens = unit->tokens,
                             .doc_position = unit->doc_position,
                             .q = {activations->qg, b->ld_pair},
                             .k = {activations->kv, b->ld_pair},
                             .v = {rn_array_from(activations->kv, b->dim), b->ld_pair}};
}

/* Returns the view for the forms without chunks, which work in rn_real. If the block is in bf16,
 * these forms read widened copies of q, k and v. */
static rn_retention_view view_without_chunks(const rn_block_retention *b, const rn_unit *unit,
                                             const rn_block_retention_activations *activations) {
  rn_retention_view u = view_of(b, unit, activations);
  if (!b->bf16) return u;
  u.q = rn_matrix_of_reals(activations->q, b->dim);
  u.k = rn_matrix_of_reals(activations->kv_reals, b->ld_pair);
  u.v = rn_matrix_of_reals(activations->kv_reals + b->dim, b->ld_pair);
  return u;
}

static void widen_kv(const rn_block_retention *b, const rn_block_retention_activations *activations,
                     int64_t rows) {
  if (!b->bf16) return;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows; row++) {
    const int64_t at = row * b->ld_pair;
    b->core.kernels->widen_bf16(b->ld_pair, rn_array_bf16s(activations->kv) + at,
                                activations->kv_reals + at);
  }
}

static void widen_q(const rn_block_retention *b, const rn_block_retention_activations *activations,
                    int64_t rows) {
  if (!b->bf16) return;
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < rows; row++) {
    b->core.kernels->widen_bf16(b->dim, rn_array_bf16s(activations->qg) + row * b->ld_pair,
                                activations->q + row * b->dim);
  }
}

static rn_head_norm_shape norm_shape(const rn_block_retention *b) {
  return (rn_head_norm_shape){b->head_norm, b->heads, b->value_width, b->eps};
}

static int qg_width(const rn_block_retention *b) {
  return b->gate ? b->pair : b->dim;
}

/* Returns the scale of the keys, 1 / sqrt(K). Queries are not scaled, so q k^T is as in RetNet's
 * eq. 5. */
static rn_real key_scale(const rn_block_retention *b) {
  return (rn_real)(1 / sqrt((double)b->key_width));
}

/* Arguments of the functions that compute tiles. The arrays hold all rows. */
typedef struct rows_work {
  const rn_block_retention *b;
  const rn_real *params;
  const rn_layer_params *at;
  int tokens;
  const rn_block_retention_activations *activations;
  rn_array in;                  /* forward: x; backward: dy */
  rn_real *out;                 /* forward: y; backward: dx */
  rn_retention_weights weights; /* of the phase */
} rows_work;

/* Returns a product x w, with weight `index` of the phase. */
static rn_tile_product product_of(const rows_work *p, int index, rn_matrix x, rn_matrix y) {
  const rn_packed_weight *w = &p->weights.weight[index];
  return (rn_tile_product){.sum = w->k, .x = x, .w = w->w, .y = y, .packed = w};
}

/* Computes the steps of a phase, after packing its weights. */
static void run_steps(const rows_work *p, rn_unit_phase phase, rn_rows rows,
                      const rn_scan_port *port, const rn_tile_step *steps, int count) {
  rows_work work = *p;
  work.weights = rn_retention_weights_pack(p->b, p->params, p->at, phase, rows, p->activations);
  rn_tile_steps_run(rows, port, steps, count, &work);
}

static const rn_real *head_weight(const rows_work *p) {
  return p->at->head_norm >= 0 ? p->params + p->at->head_norm : NULL;
}

static rn_gate gate_of(const rows_work *p) {
  const rn_block_retention_activations *t = p->activations;
  const rn_matrix g = {rn_array_from(t->qg, p->b->dim), p->b->ld_pair};
  return (rn_gate){.y = t->normed,
                   .w = head_weight(p),
                   .g = p->b->gate ? g : rn_matrix_of_reals(NULL, 0),
                   .z = {t->gated, p->b->ld_gated}};
}

static rn_rotation rotation(const rows_work *p, rn_real scale, bool inverse) {
  return (rn_rotation){p->tokens, p->b->heads, scale, inverse};
}

/* Rotates the keys or queries of a tile of x. Their columns come first and are whole heads. */
static void rotate_tile(const rows_work *p, const rn_step_tile *tile, rn_matrix x, rn_real scale) {
  const int K = p->b->key_width;
  rn_rotation tile_rotation = rotation(p, scale, false);
  if (tile->cols.begin >= p->b->dim) return;
  tile_rotation.heads = (int)((rn_smaller(tile->cols.end, p->b->dim) - tile->cols.begin) / K);
  rn_rotary_apply(&p->b->rotary, tile_rotation, tile->rows, rn_matrix_from(x, 0, tile->cols.begin),
                  rn_retention_scratch(&p->b->core));
}

static void project_kv(const void *self, const rn_step_tile *tile) {
  const rows_work *p = self;
  const rn_matrix kv = {p->activations->kv, p->b->ld_pair};
  const rn_tile_product product = product_of(p, 0, (rn_matrix){p->in, p->b->dim}, kv);
  rn_tile_nt_fp64_accumulate(tile, &product);
  rotate_tile(p, tile, kv, key_scale(p->b));
}

static void project_qg(const void *self, const rn_step_tile *tile) {
  const rows_work *p = self;
  const rn_matrix qg = {p->activations->qg, p->b->ld_pair};
  const rn_tile_product product = product_of(p, 0, (rn_matrix){p->in, p->b->dim}, qg);
  rn_tile_nt_fp64_accumulate(tile, &product);
  rotate_tile(p, tile, qg, 1);
}

static void norm_and_gate(const void *self, const rn_step_tile *tile) {
  const rows_work *p = self;
  const rn_block_retention_activations *t = p->activations;
  const rn_gate gate = gate_of(p);
  const rn_head_rows at = {tile->rows, {0, p->b->heads}};
  rn_head_norm_forward(norm_shape(p->b), at, t->alpha, t->o, t->normed, t->factor);
  rn_gate_forward(norm_shape(p->b), at, &gate, rn_retention_scratch(&p->b->core));
}

static void project_out(const void *self, const rn_step_tile *tile) {
  const rows_work *p = self;
  const rn_matrix gated = {p->activations->gated, p->b->ld_gated};
  const rn_tile_product product = product_of(p, 0, gated, rn_matrix_of_reals(p->out, p->b->dim));
  rn_tile_nt(tile, &product);
}

/* The steps of each phase. A tile of k or q, or of d_o, consists of whole heads. */

static void run_kv(const rows_work *p, rn_rows rows) {
  const rn_tile_step step = {project_kv, {p->b->pair, p->b->key_width, p->b->dim}};
  run_steps(p, RN_UNIT_PHASE_KV, rows, NULL, &step, 1);
}

static void run_qg(const rows_work *p, rn_rows rows, const rn_scan_port *port) {
  const rn_tile_step step = {project_qg, {qg_width(p->b), p->b->key_width, p->b->dim}};
  run_steps(p, RN_UNIT_PHASE_QG, rows, port, &step, 1);
}

static void run_out(const rows_work *p, rn_rows rows, const rn_scan_port *port) {
  const rn_tile_step steps[] = {{norm_and_gate, {p->b->value_dim, 1, 0}},
                                {project_out, {p->b->dim, 1, p->b->value_dim}}};
  run_steps(p, RN_UNIT_PHASE_OUT, rows, port, steps, 2);
}

/* Computes t->own, the contribution of this segment to the state, as the given form does. */
static void contribute(const rn_block_retention *b, const rn_retention_view *u, rn_form form,
                       const rn_block_retention_activations *t) {
  const size_t bytes = (size_t)u->sequences * (size_t)b->heads * (size_t)b->key_width *
                       (size_t)b->value_width * sizeof(rn_real);
  switch (form) {
    case RN_FORM_CHUNKWISE:
      rn_retention_forward_begin(&b->core, u, t->chunk_states, t->own);
      break;
    case RN_FORM_PARALLEL:
      rn_retention_parallel_own(&b->core, u, t->own);
      break;
    case RN_FORM_RECURRENT:
      memset(t->own, 0, bytes);
      rn_retention_recurrent(&b->core, u, t->own, NULL, 0);
      break;
  }
}

/* Computes o from the state before the segment, and the row scale alpha, for the forms without
 * chunks. */
static void retain_without_chunks(const rn_block_retention *b, const rn_retention_view *u,
                                  rn_form form, rn_block_retention_activations *activations) {
  const bool by_weights = form == RN_FORM_PARALLEL && b->core.scale == RN_SCALE_TS_PARALLEL;
  if (form == RN_FORM_RECURRENT) {
    rn_retention_recurrent(&b->core, u, activations->state, activations->o, b->value_dim);
  } else {
    rn_retention_parallel_forward(&b->core, u, activations->received, activations->o, b->value_dim,
                                  by_weights ? activations->alpha : NULL);
  }
  rn_retention_row_scale(&b->core, u, form, activations->alpha);
}

/* Recomputes o of one head of the first token of a document in double; see first_token.h. */
static void retain_first_token(const rows_work *work, rn_block_rows in, int64_t row, int head) {
  const rn_block_retention *b = work->b;
  const rn_first_token shape = {b->dim, b->key_width, b->value_width};
  const rn_real *raw = in.raw + row * b->dim, *params = work->params;
  const int64_t weights = (int64_t)head * b->key_width * b->dim;
  const int64_t at = (int64_t)head * b->value_width;
  double *x = (double *)(void *)rn_retention_scratch(&b->core);
  rn_real *o = work->activations->o + row * b->value_dim + at;
  if (in.norm != NULL) {
    rn_norm_row_fp64(in.norm, params, raw, x);
  } else {
    for (int i = 0; i < b->dim; i++) x[i] = (double)raw[i];
  }
  const rn_real *v = rn_row_load(b->core.kernels, work->activations->kv,
                                 row * b->ld_pair + b->dim + at, b->value_width, o);
  rn_first_token_retain(shape, x, params + work->at->q + weights, params + work->at->k + weights, v,
                        o);
}

/* Recomputes o of the first token of each document. A task is one head of one document; each
 * thread takes every n-th, since neither heads nor documents alone are enough for many threads. */
static void retain_first_tokens(const rows_work *work, rn_block_rows in, const rn_unit *unit) {
  const int64_t rows = (int64_t)unit->sequences * unit->tokens;
#pragma omp parallel num_threads(work->b->core.threads)
  {
    const int threads = omp_get_num_threads();
    int next = omp_get_thread_num(); /* tasks before this thread's next one */
    for (int64_t row = 0; row < rows; row++) {
      if (unit->doc_position[row] != 0) continue;
      for (int head = 0; head < work->b->heads; head++) {
        if (next-- > 0) continue;
        const double begin_s = rn_span_task_begin();
        retain_first_token(work, in, row, head);
        rn_span_task_end(begin_s);
        next = threads - 1;
      }
    }
  }
}

/* Computes the retention in the chunkwise form. While the scan is in flight, computes q, g and
 * the inner terms of the chunks; after the scan, the cross terms. If the state arrives during the
 * projections, one pass computes both terms. */
static rn_status retain_in_chunks(rn_err *err, const rows_work *work, const rn_retention_view *u,
                                  const rn_pass *pass, rn_rows rows) {
  rn_scan_port *port = pass->port;
  const rn_block_retention *b = work->b;
  const rn_block_retention_activations *activations = work->activations;
  const rn_retention_output out = {activations->o, b->value_dim, activations->alpha};
  const rn_segment_states states = {activations->state, activations->received,
                                    activations->chunk_states, activations->states};
  rn_eager_completion completion;
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_QG);
  rn_eager_completion_start(&completion, port, RN_SCAN_FORWARD, &b->core, u, states);
  rn_span_phase("q, g projections");
  run_qg(work, rows, &completion.port);
  const bool arrived = completion.arrived;
  if (!arrived) {
    rn_span_phase("retention within chunks");
    rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_INNER);
    rn_retention_forward_chunks(&b->core, u, &completion.port, RN_TERM_INNER, states.before, &out);
    rn_eager_completion_run_weights(&completion, pass->queue); /* of other units */
  }
  rn_span_phase(arrived ? "retention (all terms)" : "retention across chunks");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_CROSS);
  RN_TRY(err, rn_eager_completion_finish(err, &completion));
  rn_retention_forward_chunks(&b->core, u, port, arrived ? RN_TERM_BOTH : RN_TERM_CROSS,
                              states.before, &out);
  return RN_OK;
}

/* Copies the received state to the arrays from which the forms without chunks, and the backward,
 * read it. */
static void keep_state_received(const rn_block_retention_activations *t, size_t bytes) {
  memcpy(t->received, t->state, bytes);
  if (!t->states.bf16) memcpy(rn_array_reals(t->states), t->state, bytes);
}

rn_status rn_block_retention_forward(rn_err *err, rn_block_retention *b,
                                     const rn_layer_params *layer, const rn_pass *pass,
                                     rn_block_rows in,
                                     rn_block_retention_activations *activations) {
  const rn_unit *unit = pass->unit;
  const rn_form form = pass->form;
  const rn_rows rows = rn_rows_of_unit(unit);
  rn_scan_port *port = pass->port;
  const int heads = unit->sequences * b->heads;
  const int64_t m = (int64_t)b->key_width * b->value_width;
  const bool chunkwise = form == RN_FORM_CHUNKWISE;
  const rn_retention_view u =
      chunkwise ? view_of(b, unit, activations) : view_without_chunks(b, unit, activations);
  const rows_work work = {.b = b,
                          .params = pass->params,
                          .at = layer,
                          .tokens = unit->tokens,
                          .activations = activations,
                          .in = in.x,
                          .out = in.y};
  rn_rotary_move(&b->rotary, unit->position, unit->tokens);
  activations->form = form;
  if (form == RN_FORM_PARALLEL && b->core.scale == RN_SCALE_TS_CHUNKWISE) {
    return rn_fail(err, RN_ERR_USAGE,
                   "model.retention_scale ts_chunkwise has no parallel form: use chunkwise, or "
                   "recurrent for generation");
  }

  rn_span_phase("k, v projections");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_KV);
  run_kv(&work, rows);
  rn_span_phase("chunk states");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_STATES);
  if (!chunkwise) widen_kv(b, activations, rows.count);
  contribute(b, &u, form, activations);
  rn_retention_decays(&b->core, &u, activations->log_decay);
  RN_TRY(err, port->begin(port->self, err, RN_SCAN_FORWARD, layer->index,
                          (rn_scan_element){heads, m, activations->log_decay, activations->own}));

  if (chunkwise) {
    RN_TRY(err, retain_in_chunks(err, &work, &u, pass, rows));
  } else {
    rn_span_phase("q, g projections");
    rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_QG);
    run_qg(&work, rows, port);
    rn_span_phase("retention across chunks");
    rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_CROSS);
    RN_TRY(err, port->end(port->self, err, activations->state));
    keep_state_received(activations, (size_t)(heads * m) * sizeof(rn_real));
    widen_q(b, activations, rows.count);
    retain_without_chunks(b, &u, form, activations);
  }
  rn_span_phase("retention of first tokens");
  retain_first_tokens(&work, in, unit);
  rn_span_phase("head norm, gate, out projection");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_OUT);
  run_out(&work, rows, port);
  return RN_OK;
}

/* Returns where the gradients of q, k and v are written; that of q goes to dx. */
static rn_retention_grads grads_of(const rn_block_retention *b,
                                   const rn_block_retention_activations *t, rn_real *dx) {
  return (rn_retention_grads){.d_o = {t->d_o, b->value_dim},
                              .dq = dx,
                              .dk = t->d_kv,
                              .dv = t->d_kv + b->dim,
                              .lddq = b->dim,
                              .lddkv = b->ld_pair};
}

/* Computes the weight gradients that wait, and polls the port meanwhile. */
static void run_waiting_weights(const rn_block_retention_activations *t, rn_weight_queue *queue,
                                const rn_scan_port *port) {
  rn_span_phase("weight gradient GEMMs");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_SCAN_WEIGHT);
  if (queue != NULL) rn_weight_queue_finish(queue, port);
}

/* Completes core_backward for the chunkwise form, after the scan's begin(). While the scan is in
 * flight, computes weight gradients, then the inner terms of the chunks. If the state arrives
 * during the weight gradients, one pass computes both terms. */
static rn_status chunks_backward(rn_err *err, const rn_block_retention *b,
                                 const rn_retention_view *u, const rn_pass *pass,
                                 const rn_block_retention_activations *t,
                                 const rn_retention_grads *grads) {
  rn_scan_port *port = pass->port;
  const rn_segment_states adjoints = {t->state, NULL, t->d_chunk_states, t->adjoints};
  const rn_chunk_states states = {t->states, t->adjoints};
  rn_eager_completion completion;
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_SCAN_WEIGHT);
  rn_eager_completion_start(&completion, port, RN_SCAN_REVERSE, &b->core, u, adjoints);
  if (pass->weights) run_waiting_weights(t, pass->queue, &completion.port);
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_INNER);
  const bool arrived = completion.arrived;
  if (!arrived) {
    rn_span_phase("retention within chunks");
    rn_retention_backward_chunks(&b->core, u, &completion.port, RN_TERM_INNER, states, grads);
    rn_eager_completion_run_weights(&completion, pass->queue); /* of other units */
  }
  rn_span_phase(arrived ? "retention (all terms)" : "retention across chunks");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_CROSS);
  RN_TRY(err, rn_eager_completion_finish(err, &completion));
  rn_retention_backward_chunks(&b->core, u, port, arrived ? RN_TERM_BOTH : RN_TERM_CROSS, states,
                               grads);
  return RN_OK;
}

/* Computes the gradients of q, k and v from the gradient of o; includes the scan. */
static rn_status core_backward(rn_err *err, const rn_block_retention *b, const rn_retention_view *u,
                               const rn_pass *pass, const rows_work *work) {
  rn_scan_port *port = pass->port;
  const rn_block_retention_activations *activations = work->activations;
  const rn_retention_grads grads = grads_of(b, activations, work->out);
  const int heads = u->sequences * b->heads;
  const int64_t m = (int64_t)b->key_width * b->value_width;
  const bool chunkwise = activations->form == RN_FORM_CHUNKWISE;
  assert(chunkwise || (activations->form == RN_FORM_PARALLEL && !b->bf16));
  rn_span_phase("chunk states");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_D_STATES);
  if (chunkwise) {
    rn_retention_backward_begin(&b->core, u, grads.d_o, activations->d_chunk_states,
                                activations->own);
  } else {
    rn_retention_parallel_adjoint_own(&b->core, u, grads.d_o, activations->own);
  }
  rn_retention_decays(&b->core, u, activations->log_decay);
  RN_TRY(err, port->begin(port->self, err, RN_SCAN_REVERSE, work->at->index,
                          (rn_scan_element){heads, m, activations->log_decay, activations->own}));
  if (chunkwise) return chunks_backward(err, b, u, pass, activations, &grads);
  if (pass->weights) run_waiting_weights(activations, pass->queue, port);
  rn_span_phase("retention across chunks");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_D_CROSS);
  RN_TRY(err, port->end(port->self, err, activations->state));
  rn_retention_parallel_backward(&b->core, u, rn_array_reals(activations->states),
                                 activations->state, &grads);
  return RN_OK;
}

static void norm_backward(const rows_work *p, rn_head_rows at) {
  rn_head_norm_backward(norm_shape(p->b), at, p->activations->normed, p->activations->factor,
                        p->activations->d_o, rn_retention_scratch(&p->b->core));
}

/* Computes the gradients of g and of the normed rows from dy; without a head weight also the
 * gradient of o. Tiles are whole heads. */
static void project_and_gate_backward(const void *self, const rn_step_tile *tile) {
  enum { CACHED_ROWS = 32 }; /* stay in the first-level cache from one kernel to the next */
  const rows_work *p = self;
  const rn_block_retention *b = p->b;
  const rn_gate gate = gate_of(p);
  const int V = b->value_width;
  const rn_array d_o = p->activations->d_o;
  const rn_tile_product product =
      product_of(p, 0, (rn_matrix){p->in, b->dim}, (rn_matrix){d_o, b->value_dim});
  rn_tile_nn(tile, &product);
  for (int64_t row = tile->rows.begin; row < tile->rows.end; row += CACHED_ROWS) {
    const rn_head_rows at = {{row, rn_smaller(row + CACHED_ROWS, tile->rows.end)},
                             {tile->cols.begin / V, tile->cols.end / V}};
    rn_gate_backward(norm_shape(b), at, &gate, d_o, rn_retention_scratch(&b->core));
    if (gate.w == NULL) norm_backward(p, at);
  }
}

static void norm_backward_rows(const void *self, const rn_step_tile *tile) {
  const rows_work *p = self;
  norm_backward(p, (rn_head_rows){tile->rows, {0, p->b->heads}});
}

/* Rotates the gradients of q and k back, and stores the gradients of q, k and v in the
 * activations, next to the gradient of g. */
static void rotate_qkv_backward(const void *self, const rn_step_tile *tile) {
  const rows_work *p = self;
  const rn_block_retention *b = p->b;
  const rn_block_retention_activations *t = p->activations;
  const int D = b->dim, pair = b->pair, ld = b->ld_pair;
  rn_rotary_apply(&b->rotary, rotation(p, 1, true), tile->rows, rn_matrix_of_reals(p->out, D),
                  NULL);
  rn_rotary_apply(&b->rotary, rotation(p, key_scale(b), true), tile->rows,
                  rn_matrix_of_reals(t->d_kv, ld), NULL);
  for (int64_t row = tile->rows.begin; row < tile->rows.end; row++) {
    rn_row_put(b->core.kernels, t->qg, row * ld, D, p->out + row * D);
    rn_row_put(b->core.kernels, t->kv, row * ld, pair, t->d_kv + row * ld);
  }
}

/* Computes dx, which replaces the gradient of q. */
static void project_qkvg_backward(const void *self, const rn_step_tile *tile) {
  const rows_work *p = self;
  const rn_block_retention_activations *t = p->activations;
  const rn_matrix dx = rn_matrix_of_reals(p->out, p->b->dim);
  const rn_tile_product kv = product_of(p, 0, (rn_matrix){t->kv, p->b->ld_pair}, dx);
  rn_tile_product qg = product_of(p, 1, (rn_matrix){t->qg, p->b->ld_pair}, dx);
  qg.beta = 1;
  rn_tile_nn(tile, &kv);
  rn_tile_nn(tile, &qg);
}

static void run_out_backward(const rows_work *p, rn_rows rows) {
  const rn_tile_step step = {project_and_gate_backward,
                             {p->b->value_dim, p->b->value_width, p->b->dim}};
  run_steps(p, RN_UNIT_PHASE_D_OUT, rows, NULL, &step, 1);
}

static void run_norm_backward(const rows_work *p, rn_rows rows) {
  const rn_tile_step step = {norm_backward_rows, {p->b->value_dim, 1, 0}};
  rn_tile_steps_run(rows, NULL, &step, 1, p);
}

static void run_qkvg_backward(const rows_work *p, rn_rows rows) {
  const rn_tile_step steps[] = {
      {rotate_qkv_backward, {p->b->pair, 1, 0}},
      {project_qkvg_backward, {p->b->dim, 1, p->b->pair + qg_width(p->b)}}};
  run_steps(p, RN_UNIT_PHASE_D_QKVG, rows, NULL, steps, 2);
}

rn_status rn_block_retention_backward_input(rn_err *err, rn_block_retention *b,
                                            const rn_layer_params *layer, const rn_pass *pass,
                                            rn_block_grads grads,
                                            rn_block_retention_activations *activations) {
  const rn_unit *unit = pass->unit;
  const rn_rows rows = rn_rows_of_unit(unit);
  const rn_retention_view u = view_of(b, unit, activations);
  const rows_work work = {.b = b,
                          .params = pass->params,
                          .at = layer,
                          .tokens = unit->tokens,
                          .activations = activations,
                          .in = grads.dy,
                          .out = grads.dx};
  const rn_gate gate = gate_of(&work);
  rn_rotary_move(&b->rotary, unit->position, unit->tokens);
  rn_span_phase("head norm, gate, out projection");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_D_OUT);
  run_out_backward(&work, rows);
  if (gate.w != NULL) {
    rn_head_weight_backward(norm_shape(b), rows, &gate, layer->head_norm, activations->d_o, b->sums,
                            pass->accumulator);
    run_norm_backward(&work, rows);
  }
  if (pass->weights) {
    rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_OUT_WEIGHT);
    rn_block_retention_backward_weight_out(b, layer, rows, grads.dy, activations, pass->accumulator,
                                           pass->queue);
  }
  RN_TRY(err, core_backward(err, b, &u, pass, &work));
  rn_span_phase("k, v, q, g projections");
  rn_workspace_begin(activations->workspace, RN_UNIT_PHASE_D_QKVG);
  run_qkvg_backward(&work, rows);
  return RN_OK;
}

void rn_block_retention_backward_weight_out(const rn_block_retention *b, const rn_layer_params *at,
                                            rn_rows rows, rn_array dy,
                                            const rn_block_retention_activations *activations,
                                            rn_grad_accumulator *accumulator,
                                            rn_weight_queue *queue) {
  rn_span_phase("weight gradient GEMMs");
  const rn_weight_product out = {
      {at->out, b->dim, b->value_dim}, {dy, b->dim}, {activations->gated, b->ld_gated}};
  if (activations->defers_out) {
    rn_grad_accumulator_defer(accumulator, queue, rows, &out, 1);
  } else {
    rn_grad_accumulator_products(accumulator, queue, rows, &out, 1);
  }
}

void rn_block_retention_backward_weight_in(const rn_block_retention *b, const rn_layer_params *at,
                                           rn_rows rows, rn_array x,
                                           const rn_block_retention_activations *activations,
                                           rn_grad_accumulator *accumulator,
                                           rn_weight_queue *queue) {
  const rn_matrix input = {x, b->dim};
  const rn_matrix d_kv = {activations->kv, b->ld_pair}, d_qg = {activations->qg, b->ld_pair};
  rn_span_phase("weight gradient GEMMs");
  const rn_weight_product products[] = {{{at->k, b->pair, b->dim}, d_kv, input},
                                        {{at->q, qg_width(b), b->dim}, d_qg, input}};
  rn_grad_accumulator_defer(accumulator, queue, rows, products, 2);
}
