#include "model/attention/block_attention.h"

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

/* The arguments of the functions that compute one tile. The arrays hold all rows of the unit. */
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

/* True if the phase projects q, k and v and the sums are short enough to be computed in double. The
 * weights are then read unpacked. */
static bool sums_in_fp64(const rn_block_attention *b, rn_attention_phase phase) {
  return phase == RN_ATTENTION_IN && !b->bf16 && b->dim <= RN_FP64_SUM_MAX;
}

/* Packs the weights of a phase, if its products read packed weights, and computes the steps of the
 * phase. */
static void run_steps(phase_work *p, const rn_layer_params *at, const rn_pass *pass,
                      rn_attention_phase phase, const rn_tile_step *steps, int count) {
  const rn_rows rows = rn_rows_of_unit(pass->unit);
  p->weights = rn_attention_weights_of(p->b, pass->params, at, phase);
  if (!sums_in_fp64(p->b, phase)) {
    rn_pack_weights(rows, p->weights.of, p->weights.count, p->t->packed);
  }
  rn_tile_steps_run(rows, NULL, steps, count, p);
}

/* Rotates those columns of the tile of x [R, ld] that are in [0, width). */
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

void rn_block_attention_forward(rn_block_attention *b, const rn_layer_params *layer,
                                const rn_pass *pass, rn_array x, rn_block_attention_activations *t,
                                rn_real *y) {
  const int K = b->core.width;
  const rn_tile_step in[] = {{project_kv, {b->pair, K, b->dim}}, {project_q, {b->dim, K, b->dim}}};
  const rn_tile_step out = {project_out, {b->dim, 1, b->dim}};
  const rn_attention_view view = view_of(b, pass->unit, t);
  phase_work work = {.b = b, .t = t, .tokens = pass->unit->tokens, .in = x, .out = y};
  rn_rotary_move(&b->rotary, pass->unit->position, pass->unit->tokens);
  rn_span_phase("q, k, v projections");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_KV);
  run_steps(&work, layer, pass, RN_ATTENTION_IN, in, 2);
  rn_span_phase("attention");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_INNER);
  rn_attention_forward(&b->core, &view, (rn_matrix){t->o, b->ld_o}, t->lse);
  rn_span_phase("attention out projection");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_OUT);
  run_steps(&work, layer, pass, RN_ATTENTION_OUT, &out, 1);
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

void rn_block_attention_backward_input(rn_block_attention *b, const rn_layer_params *layer,
                                       const rn_pass *pass, rn_array dy, rn_real *dx,
                                       rn_block_attention_activations *t) {
  const rn_tile_step out = {project_out_backward, {b->dim, 1, b->dim}};
  const rn_tile_step in[] = {{rotate_backward, {b->dim, 1, 0}},
                             {project_in_backward, {b->dim, 1, b->pair + b->dim}}};
  const rn_attention_view view = view_of(b, pass->unit, t);
  const rn_attention_grads grads = {.d_o = {t->d_o, b->dim},
                                    .dq = dx,
                                    .dk = t->d_kv,
                                    .dv = t->d_kv + b->pair / 2,
                                    .ldkv = b->ld_pair};
  phase_work work = {.b = b, .t = t, .tokens = pass->unit->tokens, .in = dy, .out = dx};
  rn_rotary_move(&b->rotary, pass->unit->position, pass->unit->tokens);
  rn_span_phase("attention out projection");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_OUT);
  run_steps(&work, layer, pass, RN_ATTENTION_OUT_BACKWARD, &out, 1);
  if (pass->weights) run_weights(b, layer, pass, dy, t);
  rn_span_phase("attention");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_INNER);
  rn_attention_backward(&b->core, &view, (rn_matrix){t->o, b->ld_o}, t->lse, t->delta, &grads);
  rn_span_phase("q, k, v projections");
  rn_workspace_begin(t->workspace, RN_UNIT_PHASE_D_QKVG);
  run_steps(&work, layer, pass, RN_ATTENTION_IN_BACKWARD, in, 2);
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
