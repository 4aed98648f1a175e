#include "model/retention/block_retention_rows.h"

#include <math.h>
#include <stddef.h>

#include "model/ops/load_row.h"
#include "model/ops/matmul.h"
#include "model/ops/tile_steps.h"
#include "model/retention/block_retention_weights.h"

rn_retention_view rn_retention_rows_view(const rn_retention_rows *rows) {
  const rn_block_retention *b = rows->b;
  const rn_block_retention_activations *t = rows->activations;
  const rn_unit *unit = rows->pass->unit;
  return (rn_retention_view){.sequences = unit->sequences,
                             .tokens = unit->tokens,
                             .doc_position = unit->doc_position,
                             .q = {t->qg, b->ld_pair},
                             .k = {t->kv, b->ld_pair},
                             .v = {rn_array_from(t->kv, b->dim), b->ld_pair}};
}

rn_head_norm_shape rn_retention_rows_norm(const rn_retention_rows *rows) {
  const rn_block_retention *b = rows->b;
  return (rn_head_norm_shape){b->head_norm, b->heads, b->value_width, b->eps};
}

/* Returns the scale of the keys, 1 / sqrt(K). Queries are not scaled, so that q k^T is the same as
 * in RetNet's eq. 5. */
static rn_real key_scale(const rn_block_retention *b) {
  return (rn_real)(1 / sqrt((double)b->key_width));
}

/* The arguments of the functions that compute one tile: the rows, and the weights of the phase. */
typedef struct phase {
  const rn_retention_rows *rows;
  rn_retention_weights weights;
} phase;

/* Returns the arguments of a product of x and weight `index` of the phase. */
static rn_tile_product product_of(const phase *p, int index, rn_matrix x, rn_matrix y) {
  const rn_packed_weight *w = &p->weights.weight[index];
  return (rn_tile_product){.sum = w->k, .x = x, .w = w->w, .y = y, .packed = w};
}

/* Packs the weights of a phase and runs the steps of the phase. */
static void run_steps(const rn_retention_rows *r, rn_unit_phase unit_phase,
                      const rn_scan_port *port, const rn_tile_step *steps, int count) {
  const rn_rows rows = rn_rows_of_unit(r->pass->unit);
  const phase p = {
      r, rn_retention_weights_pack(r->b, r->pass->params, r->at, unit_phase, rows, r->activations)};
  rn_tile_steps_run(rows, port, steps, count, &p);
}

rn_gate rn_retention_rows_gate(const rn_retention_rows *rows) {
  const rn_block_retention *b = rows->b;
  const rn_block_retention_activations *t = rows->activations;
  const int64_t weight = rows->at->head_norm;
  const rn_matrix g = {rn_array_from(t->qg, b->dim), b->ld_pair};
  return (rn_gate){.y = t->normed,
                   .w = weight >= 0 ? rows->pass->params + weight : NULL,
                   .g = b->gate ? g : rn_matrix_of_reals(NULL, 0),
                   .z = {t->gated, b->ld_gated}};
}

static rn_rotation rotation(const rn_retention_rows *r, rn_real scale, bool inverse) {
  return (rn_rotation){r->pass->unit->tokens, r->b->heads, scale, inverse};
}

/* Rotates the keys or queries in a tile of x. The keys or queries are columns [0, D) of x; the tile
 * consists of whole heads. */
static void rotate_tile(const rn_retention_rows *r, const rn_step_tile *tile, rn_matrix x,
                        rn_real scale) {
  const int K = r->b->key_width;
  rn_rotation tile_rotation = rotation(r, scale, false);
  if (tile->cols.begin >= r->b->dim) return;
  tile_rotation.heads = (int)((rn_smaller(tile->cols.end, r->b->dim) - tile->cols.begin) / K);
  rn_rotary_apply(&r->b->rotary, tile_rotation, tile->rows, rn_matrix_from(x, 0, tile->cols.begin),
                  rn_retention_scratch(&r->b->core));
}

static void project_kv(const void *self, const rn_step_tile *tile) {
  const phase *p = self;
  const rn_retention_rows *r = p->rows;
  const rn_matrix kv = {r->activations->kv, r->b->ld_pair};
  const rn_tile_product product = product_of(p, 0, (rn_matrix){r->in, r->b->dim}, kv);
  rn_tile_nt_fp64_accumulate(tile, &product);
  rotate_tile(r, tile, kv, key_scale(r->b));
}

static void project_qg(const void *self, const rn_step_tile *tile) {
  const phase *p = self;
  const rn_retention_rows *r = p->rows;
  const rn_matrix qg = {r->activations->qg, r->b->ld_pair};
  const rn_tile_product product = product_of(p, 0, (rn_matrix){r->in, r->b->dim}, qg);
  rn_tile_nt_fp64_accumulate(tile, &product);
  rotate_tile(r, tile, qg, 1);
}

static void norm_and_gate(const void *self, const rn_step_tile *tile) {
  const rn_retention_rows *r = ((const phase *)self)->rows;
  const rn_block_retention_activations *t = r->activations;
  const rn_gate gate = rn_retention_rows_gate(r);
  const rn_head_rows at = {tile->rows, {0, r->b->heads}};
  rn_head_norm_forward(rn_retention_rows_norm(r), at, t->alpha, t->o, t->normed, t->factor);
  rn_gate_forward(rn_retention_rows_norm(r), at, &gate, rn_retention_scratch(&r->b->core));
}

static void project_out(const void *self, const rn_step_tile *tile) {
  const phase *p = self;
  const rn_retention_rows *r = p->rows;
  const rn_matrix gated = {r->activations->gated, r->b->ld_gated};
  const rn_tile_product product = product_of(p, 0, gated, rn_matrix_of_reals(r->out, r->b->dim));
  rn_tile_nt(tile, &product);
}

/* The steps of each phase follow. A tile of k, q or d_o consists of whole heads. */

void rn_retention_rows_kv(const rn_retention_rows *rows) {
  const rn_tile_step step = {project_kv, {rows->b->pair, rows->b->key_width, rows->b->dim}};
  run_steps(rows, RN_UNIT_PHASE_KV, NULL, &step, 1);
}

void rn_retention_rows_qg(const rn_retention_rows *rows, const rn_scan_port *port) {
  const rn_tile_step step = {
      project_qg, {rn_block_retention_qg_width(rows->b), rows->b->key_width, rows->b->dim}};
  run_steps(rows, RN_UNIT_PHASE_QG, port, &step, 1);
}

void rn_retention_rows_out(const rn_retention_rows *rows, const rn_scan_port *port) {
  const rn_tile_step steps[] = {{norm_and_gate, {rows->b->value_dim, 1, 0}},
                                {project_out, {rows->b->dim, 1, rows->b->value_dim}}};
  run_steps(rows, RN_UNIT_PHASE_OUT, port, steps, 2);
}

static void norm_backward(const rn_retention_rows *r, rn_head_rows at) {
  rn_head_norm_backward(rn_retention_rows_norm(r), at, r->activations->normed,
                        r->activations->factor, r->activations->d_o,
                        rn_retention_scratch(&r->b->core));
}

/* Computes the gradients of g and of the normed rows from dy. If the head norm has no weight, also
 * computes the gradient of o. A tile consists of whole heads. */
static void project_and_gate_backward(const void *self, const rn_step_tile *tile) {
  enum { CACHED_ROWS = 32 }; /* few enough to stay in the L1 cache from one kernel to the next */
  const phase *p = self;
  const rn_retention_rows *r = p->rows;
  const rn_block_retention *b = r->b;
  const rn_gate gate = rn_retention_rows_gate(r);
  const int V = b->value_width;
  const rn_array d_o = r->activations->d_o;
  const rn_tile_product product =
      product_of(p, 0, (rn_matrix){r->in, b->dim}, (rn_matrix){d_o, b->value_dim});
  rn_tile_nn(tile, &product);
  for (int64_t row = tile->rows.begin; row < tile->rows.end; row += CACHED_ROWS) {
    const rn_head_rows at = {{row, rn_smaller(row + CACHED_ROWS, tile->rows.end)},
                             {tile->cols.begin / V, tile->cols.end / V}};
    rn_gate_backward(rn_retention_rows_norm(r), at, &gate, d_o, rn_retention_scratch(&b->core));
    if (gate.w == NULL) norm_backward(r, at);
  }
}

static void norm_backward_rows(const void *self, const rn_step_tile *tile) {
  const rn_retention_rows *r = self;
  norm_backward(r, (rn_head_rows){tile->rows, {0, r->b->heads}});
}

/* Applies the inverse rotation to the gradients of q and k, and stores the gradients of q, k and v
 * in the activations, next to the gradient of g. */
static void rotate_qkv_backward(const void *self, const rn_step_tile *tile) {
  const rn_retention_rows *r = ((const phase *)self)->rows;
  const rn_block_retention *b = r->b;
  const rn_block_retention_activations *t = r->activations;
  const int D = b->dim, pair = b->pair, ld = b->ld_pair;
  rn_rotary_apply(&b->rotary, rotation(r, 1, true), tile->rows, rn_matrix_of_reals(r->out, D),
                  NULL);
  rn_rotary_apply(&b->rotary, rotation(r, key_scale(b), true), tile->rows,
                  rn_matrix_of_reals(t->d_kv, ld), NULL);
  for (int64_t row = tile->rows.begin; row < tile->rows.end; row++) {
    rn_row_put(b->core.kernels, t->qg, row * ld, D, r->out + row * D);
    rn_row_put(b->core.kernels, t->kv, row * ld, pair, t->d_kv + row * ld);
  }
}

/* Computes dx in rows->out, where it overwrites the gradient of q. */
static void project_qkvg_backward(const void *self, const rn_step_tile *tile) {
  const phase *p = self;
  const rn_retention_rows *r = p->rows;
  const rn_block_retention_activations *t = r->activations;
  const rn_matrix dx = rn_matrix_of_reals(r->out, r->b->dim);
  const rn_tile_product kv = product_of(p, 0, (rn_matrix){t->kv, r->b->ld_pair}, dx);
  rn_tile_product qg = product_of(p, 1, (rn_matrix){t->qg, r->b->ld_pair}, dx);
  qg.beta = 1;
  rn_tile_nn(tile, &kv);
  rn_tile_nn(tile, &qg);
}

void rn_retention_rows_out_backward(const rn_retention_rows *rows) {
  const rn_tile_step step = {project_and_gate_backward,
                             {rows->b->value_dim, rows->b->value_width, rows->b->dim}};
  run_steps(rows, RN_UNIT_PHASE_D_OUT, NULL, &step, 1);
}

void rn_retention_rows_norm_backward(const rn_retention_rows *rows) {
  const rn_tile_step step = {norm_backward_rows, {rows->b->value_dim, 1, 0}};
  rn_tile_steps_run(rn_rows_of_unit(rows->pass->unit), NULL, &step, 1, rows);
}

void rn_retention_rows_qkvg_backward(const rn_retention_rows *rows) {
  const rn_tile_step steps[] = {
      {rotate_qkv_backward, {rows->b->pair, 1, 0}},
      {project_qkvg_backward,
       {rows->b->dim, 1, rows->b->pair + rn_block_retention_qg_width(rows->b)}}};
  run_steps(rows, RN_UNIT_PHASE_D_QKVG, NULL, steps, 2);
}
