#include "model/attention/block_attention.h"

#include <string.h>

#include "model/attention/attention_block.h"
#include "model/attention/block_attention_weights.h"
#include "model/ops/load_row.h"
#include "model/ops/matmul.h"
#include "model/ops/tile_steps.h"
#include "proto/base/span.h"

rn_attention_weights rn_attention_weights_of(const rn_block_attention *b, const rn_real *params,
                                             const rn_layer_params *at, rn_attention_phase phase) {
  const rn_array none = {NULL, b->bf16};
  const bool sizes = params == NULL;
  const rn_array k = sizes ? none : rn_array_of_weights(b->weights, params, at->k);
  const rn_array q = sizes ? none : rn_array_of_weights(b->weights, params, at->q);
  const rn_array out = sizes ? none : rn_array_of_weights(b->weights, params, at->out);
  const int D = b->dim;
  switch (phase) {
    case RN_ATTENTION_IN:
      return (rn_attention_weights){2, {rn_weight_nt(b->pair, D, k), rn_weight_nt(D, D, q)}};
    case RN_ATTENTION_OUT:
      return (rn_attention_weights){1, {rn_weight_nt(D, D, out)}};
    case RN_ATTENTION_OUT_BACKWARD:
      return (rn_attention_weights){1, {rn_weight_nn(D, D, out)}};
    default:
      return (rn_attention_weights){2, {rn_weight_nn(D, b->pair, k), rn_weight_nn(D, D, q)}};
  }
}

/* The arguments of the functions that compute one tile. The arrays hold all rows of the unit
 * (model/pass/unit.h). */
typedef struct phase_work {
  const rn_block_attention *b;
  const rn_block_attention_activations *t;
  int tokens;
  rn_array in;  /* [R, D] */
  rn_real *out; /* [R, D] */
  rn_attention_weights weights;
} phase_work;

static rn_tile_product product_of(const phase_work *p, int index, rn_matrix x, rn_matrix y) {
  const rn_packed_weight *w = &p->weights.of[index];
  return (rn_tile_product){.sum = w->k, .x = x, .w = w->w, .y = y, .packed = w};
}

/* True if the phase computes the projections of q, k and v, and the sums in these projections are
 * short enough to be computed in double. The weights are then read unpacked. */
static bool sums_in_fp64(const rn_block_attention *b, rn_attention_phase phase) {
  return phase == RN_ATTENTION_IN && !b->bf16 && b->dim <= RN_FP64_SUM_MAX;
}

/* Packs the weights of a phase, if its products read packed weights. */
static void pack_weights(phase_work *p, const rn_layer_params *at, const rn_pass *pass,
                         rn_attention_phase phase) {
  p->weights = rn_attention_weights_of(p->b, pass->params, at, phase);
  if (sums_in_fp64(p->b, phase)) return;
  rn_pack_weights(rn_rows_of_unit(pass->unit), p->weights.of, p->weights.count, p->t->packed);
}

/* Packs the weights of a phase and runs the steps of the phase. */
static void run_steps(phase_work *p, const rn_layer_params *at, const rn_pass *pass,
                      rn_attention_phase phase, const rn_tile_step *steps, int count) {
  pack_weights(p, at, pass, phase);
  rn_tile_steps_run(rn_rows_of_unit(pass->unit), NULL, steps, count, p);
}

/* Applies the rotary embedding, or its inverse, to the columns of the tile that are less than
 * `width`. The array x is [R, ld]. */
static void rotate(const phase_work *p, const rn_step_tile *tile, rn_matrix x, int width,
                   bool inverse) {
  const int K = p->b->core.width;
  const int64_t end = rn_smaller(tile->cols.end, width);
  if (tile->cols.begin >= end) return;
  const rn_rotation rotation = {p->tokens, (int)((end - tile->cols.begin) / K), 1, inverse};
  rn_rotary_apply(&p->b->rotary, rotation, tile->rows, rn_matrix_from(x, 0, tile->cols.begin),
                  rn_attention_scratch(&p->b->core));
}

/* ---- functions that compute one tile; tiles of q, k and v consist of whole heads ---- */

static void project_kv(const void *self, const rn_step_tile *tile) {
  const phase_work *p = self;
  const rn_matrix kv = {p->t->kv, p->b->ld_pair};
  const rn_tile_product product = product_of(p, 0, (rn_matrix){p->in, p->b->dim}, kv);
  rn_tile_nt_fp64_accumulate(tile, &product);
  rotate(p, tile, kv, p->b->pair / 2, false);
}

static void project_q(const void *self, const rn_step_tile *tile) {
  const phase_work *p = self;
  const rn_matrix q = {p->t->q, p->b->ld_q};
  const rn_tile_product product = product_of(p, 1, (rn_matrix){p->in, p->b->dim}, q);
  rn_tile_nt_fp64_accumulate(tile, &product);
  rotate(p, tile, q, p->b->dim, false);
}

static void project_out(const void *self, const rn_step_tile *tile) {
  const phase_work *p = self;
  const int D = p->b->dim;
  const rn_tile_product product =
      product_of(p, 0, (rn_matrix){p->t->o, p->b->ld_o}, rn_matrix_of_reals(p->out, D));
  rn_tile_nt(tile, &product);
}

static void project_out_backward(const void *self, const rn_step_tile *tile) {
  const phase_work *p = self;
  const int D = p->b->dim;
  const rn_tile_product product =
      product_of(p, 0, (rn_matrix){p->in, D}, (rn_matrix){p->t->d_o, D});
  rn_tile_nn(tile, &product);
}

/* Applies the inverse rotation to the gradients of q and k, and stores the gradients of q, k and v
 * in the activations. On entry, the gradient of q is in p->out. */
static void rotate_backward(const void *self, const rn_step_tile *tile) {
  const phase_work *p = self;
  const rn_kernels *kernels = rn_kernels_table();
  const int D = p->b->dim, pair = p->b->pair, ld = p->b->ld_pair;
  const rn_step_tile whole_rows = {tile->rows, {0, D > pair ? D : pair}};
  rotate(p, &whole_rows, rn_matrix_of_reals(p->out, D), D, true);
  rotate(p, &whole_rows, rn_matrix_of_reals(p->t->d_kv, ld), pair / 2, true);
  for (int64_t row = tile->rows.begin; row < tile->rows.end; row++) {
    rn_row_put(kernels, p->t->q, row * p->b->ld_q, D, p->out + row * D);
    rn_row_put(kernels, p->t->kv, row * ld, pair, p->t->d_kv + row * ld);
  }
}

/* Computes dx in p->out, where it overwrites the gradient of q. */
static void project_in_backward(const void *self, const rn_step_tile *tile) {
  const phase_work *p = self;
  const rn_matrix dx = rn_matrix_of_reals(p->out, p->b->dim);
  const rn_tile_product kv = product_of(p, 0, (rn_matrix){p->t->kv, p->b->ld_pair}, dx);
  rn_tile_product q = product_of(p, 1, (rn_matrix){p->t->q, p->b->ld_q}, dx);
  q.beta = 1;
  rn_tile_nn(tile, &kv);
  rn_tile_nn(tile, &q);
}

/* ---- keys and values of the tokens before this unit ---- */

/* Starts the exchange of this unit's keys and values. */
static rn_status begin_exchange(rn_err *err, const rn_block_attention *b,
                                const rn_layer_params *layer, const rn_pass *pass,
                                const rn_block_attention_activations *t) {
  const rn_unit *unit = pass->unit;
  const rn_row_piece piece = {.layer = layer->attending,
                              .sequences = unit->sequences,
                              .positions = {unit->position, unit->position + unit->tokens},
                              .bytes = (size_t)b->ld_pair * rn_element_bytes(b->bf16),
                              .rows = t->kv.at};
  return pass->rows->begin(pass->rows->self, err, &piece);
}

/* Completes the exchange. On return, the view begins with the keys and values of the tokens before
 * this unit that its queries may see. */
static rn_status end_exchange(rn_err *err, const rn_block_attention *b, const rn_pass *pass,
                              rn_attention_view *view) {
  rn_row_view rows;
  RN_TRY(err, pass->rows->end(pass->rows->self, err, &rows));
  const rn_array kv = {(void *)(uintptr_t)rows.rows, b->bf16};
  view->before = (int)rn_range_count(rows.positions) - view->tokens;
  view->key_stride = rows.stride;
  view->k.x = kv;
  view->v.x = rn_array_from(kv, b->pair / 2);
  return RN_OK;
}

/* Copies the gradients of the unit's own keys and values to d_kv. `sums` also has the gradients of
 * earlier tokens, which precede them in each sequence. */
static void copy_own_sums(const rn_block_attention *b, const rn_attention_view *view,
                          const rn_real *sums, rn_real *d_kv) {
  const int64_t own = (int64_t)view->tokens * b->ld_pair;
  for (int s = 0; s < view->sequences; s++) {
    memcpy(d_kv + s * own, sums + (s * view->key_stride + view->before) * b->ld_pair,
           (size_t)own * sizeof *d_kv);
  }
}

/* Computes the gradients of q, k and v if pass->rows provides the keys and values of the tokens
 * before this unit. */
static rn_status backward_with_rows(rn_err *err, const rn_block_attention *b, const rn_pass *pass,
                                    rn_attention_grads grads,
                                    const rn_block_attention_activations *t,
                                    rn_attention_view *view) {
  rn_row_port *rows = pass->rows;
  rn_row_gradients sums;
  RN_TRY(err, end_exchange(err, b, pass, view));
  RN_TRY(err, rows->begin_sums(rows->self, err, b->ld_pair, &sums));
  grads.dk = sums.sum;
  grads.dv = sums.sum + b->pair / 2;
  grads.add = true;
  rn_attention_backward(&b->core, view, (rn_matrix){t->o, b->ld_o}, t->lse, t->delta, &grads);
  RN_TRY(err, rows->end_sums(rows->self, err));
  copy_own_sums(b, view, sums.sum, t->d_kv);
  return RN_OK;
}

/* ---- the block ---- */

static rn_attention_view view_of(const rn_block_attention *b, const rn_unit *unit,
                                 const rn_block_attention_activations *t) {
  return (rn_attention_view){.sequences = unit->sequences,
                             .tokens = unit->tokens,
                             .doc_position = unit->doc_position,
                             .q = {t->q, b->ld_q},
                             .k = {t->kv, b->ld_pair},
                             .v = {rn_array_from(t->kv, b->pair / 2), b->ld_pair}};
}

/* Computes k, v and q. With pass->rows, exchanges keys and values while it computes q; on return,
 * the view also contains the keys and values of the tokens before this unit. */
static rn_status project_in(rn_err *err, phase_work *work, const rn_layer_params *layer,
                            const rn_pass *pass, rn_attention_view *view) {
  const rn_block_attention *b = work->b;
  const int K = b->core.width;
  const rn_tile_step in[] = {{project_kv, {b->pair, K, b->dim}}, {project_q, {b->dim, K, b->dim}}};
  const rn_rows rows = rn_rows_of_unit(pass->unit);
  pack_weights(work, layer, pass, RN_ATTENTION_IN);
  if (pass->rows == NULL) {
    rn_tile_steps_run(rows, NULL, in, 2, work);
    return RN_OK;
  }
  const rn_scan_port poll = {.self = pass->rows->self, .poll = pass->rows->poll};
  rn_tile_steps_run(rows, NULL, in, 1, work);
  RN_TRY(err, begin_exchange(err, b, layer, pass, work->t));
  rn_tile_steps_run(rows, &poll, in + 1, 1, work);
  return end_exchange(err, b, pass, view);
}

rn_status rn_block_attention_forward(rn_err *err, rn_block_attention *b,
                                     const rn_layer_params *layer, const rn_pass *pass,
                                     rn_block_attention_io rows,
                                     rn_block_attention_activations *t) {
  const rn_tile_step out = {project_out, {b->dim, 1, b->dim}};
  rn_attention_view view = view_of(b, pass->unit, t);
  phase_work work = {.b = b, .t = t, .tokens = pass->unit->tokens, .in = rows.in, .out = rows.out};
  rn_rotary_move(&b->rotary, pass->unit->position, pass->unit->tokens);
  rn_span_phase("q, k, v projections");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_KV);
  RN_TRY(err, project_in(err, &work, layer, pass, &view));
  rn_span_phase("attention");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_INNER);
  rn_attention_forward(&b->core, &view, (rn_matrix){t->o, b->ld_o}, t->lse);
  rn_span_phase("attention out projection");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_OUT);
  run_steps(&work, layer, pass, RN_ATTENTION_OUT, &out, 1);
  return RN_OK;
}

/* Accumulates the weight gradient of the output projection, and all deferred weight gradients in
 * the queue. */
static void run_weights(const rn_block_attention *b, const rn_layer_params *layer,
                        const rn_pass *pass, rn_array dy, const rn_block_attention_activations *t) {
  const rn_weight_product out = rn_block_attention_product_out(b, layer, dy, t);
  rn_span_phase("weight gradient GEMMs");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_OUT_WEIGHT);
  rn_grad_accumulator_products(pass->accumulator, pass->queue, rn_rows_of_unit(pass->unit), &out,
                               1);
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_SCAN_WEIGHT);
  if (pass->queue != NULL) rn_weight_queue_finish(pass->queue, NULL);
}

rn_status rn_block_attention_backward_input(rn_err *err, rn_block_attention *b,
                                            const rn_layer_params *layer, const rn_pass *pass,
                                            rn_block_attention_io io,
                                            rn_block_attention_activations *t) {
  const rn_tile_step out = {project_out_backward, {b->dim, 1, b->dim}};
  const rn_tile_step in[] = {{rotate_backward, {b->dim, 1, 0}},
                             {project_in_backward, {b->dim, 1, b->pair + b->dim}}};
  rn_attention_view view = view_of(b, pass->unit, t);
  const rn_attention_grads grads = {.d_o = {t->d_o, b->dim},
                                    .dq = io.out,
                                    .dk = t->d_kv,
                                    .dv = t->d_kv + b->pair / 2,
                                    .ldkv = b->ld_pair};
  phase_work work = {.b = b, .t = t, .tokens = pass->unit->tokens, .in = io.in, .out = io.out};
  rn_rotary_move(&b->rotary, pass->unit->position, pass->unit->tokens);
  if (pass->rows != NULL) RN_TRY(err, begin_exchange(err, b, layer, pass, t));
  rn_span_phase("attention out projection");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_OUT);
  run_steps(&work, layer, pass, RN_ATTENTION_OUT_BACKWARD, &out, 1);
  if (pass->weights) run_weights(b, layer, pass, io.in, t);
  rn_span_phase("attention");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_INNER);
  if (pass->rows != NULL) {
    RN_TRY(err, backward_with_rows(err, b, pass, grads, t, &view));
  } else {
    rn_attention_backward(&b->core, &view, (rn_matrix){t->o, b->ld_o}, t->lse, t->delta, &grads);
  }
  rn_span_phase("q, k, v projections");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_QKVG);
  run_steps(&work, layer, pass, RN_ATTENTION_IN_BACKWARD, in, 2);
  return RN_OK;
}

rn_weight_product rn_block_attention_product_out(const rn_block_attention *b,
                                                 const rn_layer_params *at, rn_array dy,
                                                 const rn_block_attention_activations *t) {
  return (rn_weight_product){{at->out, b->dim, b->dim}, {dy, b->dim}, {t->o, b->ld_o}};
}

void rn_block_attention_products_in(const rn_block_attention *b, const rn_layer_params *at,
                                    rn_array x, const rn_block_attention_activations *t,
                                    rn_weight_product out[2]) {
  const rn_matrix input = {x, b->dim};
  out[0] = (rn_weight_product){{at->k, b->pair, b->dim}, {t->kv, b->ld_pair}, input};
  out[1] = (rn_weight_product){{at->q, b->dim, b->dim}, {t->q, b->ld_q}, input};
}
