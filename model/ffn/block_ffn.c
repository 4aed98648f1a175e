#include "model/ffn/block_ffn.h"

#include <stddef.h>

#include "model/kernel/kernels.h"
#include "model/memory/buffer.h"
#include "model/ops/matmul.h"
#include "model/ops/tile_steps.h"
#include "proto/base/span.h"

rn_ffn_activations rn_ffn_buffers(const rn_ffn_block *b, int64_t rows,
                                  const rn_buffer_space *space) {
  return (rn_ffn_activations){
      .inner = rn_buffer_array(
          space, "ffn inner", rows * b->ld_inner, b->bf16,
          rn_use_saved(RN_UNIT_PHASE_FFN, RN_UNIT_PHASE_FFN, RN_UNIT_PHASE_FFN_WEIGHT)),
      .product = rn_buffer_array(space, "ffn product", rows * b->ld_product, b->bf16,
                                 rn_use_recomputed(RN_UNIT_PHASE_FFN, RN_UNIT_PHASE_FFN,
                                                   RN_UNIT_PHASE_D_FFN, RN_UNIT_PHASE_FFN_WEIGHT))};
}

/* Arguments of the functions that compute tiles. The arrays hold all rows. */
typedef struct ffn_work {
  const rn_ffn_block *block;
  const rn_kernels *kernels;
  rn_array fc1, fc2, in;
  rn_ffn_activations activations;
  rn_real *out;
} ffn_work;

static ffn_work work_of(const rn_ffn_block *block, const rn_real *params, rn_array in,
                        const rn_ffn_activations *activations, rn_real *out) {
  return (ffn_work){block,
                    rn_kernels_table(),
                    rn_array_of_weights(block->weights, params, block->fc1),
                    rn_array_of_weights(block->weights, params, block->fc2),
                    in,
                    *activations,
                    out};
}

static bool has_gate(const ffn_work *p) {
  return p->block->kind == RN_FFN_GLU;
}

static rn_matrix inner_of(const ffn_work *p) {
  return (rn_matrix){p->activations.inner, p->block->ld_inner};
}

static rn_matrix product_of(const ffn_work *p) {
  return (rn_matrix){p->activations.product, p->block->ld_product};
}

/* ---- one row of a tile: `inner` and `product` begin at its first element ---- */

/* Number of elements of a bf16 row that are widened at a time. */
enum { SLICE = 256 };

static void activate_bf16(const ffn_work *p, int count, const rn_bf16 *inner, rn_bf16 *product) {
  const rn_kernels *kernels = p->kernels;
  const rn_activation activation = p->block->activation;
  rn_real first[SLICE], gate[SLICE], result[SLICE];
  for (int from = 0; from < count; from += SLICE) {
    const int n = count - from < SLICE ? count - from : SLICE;
    kernels->widen_bf16(n, inner + from, first);
    if (has_gate(p)) kernels->widen_bf16(n, inner + p->block->ffn_dim + from, gate);
    kernels->ffn(activation, n, first, has_gate(p) ? gate : NULL, result);
    kernels->round_bf16(n, result, product + from);
  }
}

static void activate_bf16_backward(const ffn_work *p, int count, rn_bf16 *inner, rn_bf16 *product) {
  const rn_kernels *kernels = p->kernels;
  const rn_activation activation = p->block->activation;
  rn_real first[SLICE], gate[SLICE], dproduct[SLICE], result[SLICE];
  for (int from = 0; from < count; from += SLICE) {
    const int n = count - from < SLICE ? count - from : SLICE;
    rn_bf16 *linear = inner + p->block->ffn_dim + from;
    kernels->widen_bf16(n, inner + from, first);
    if (has_gate(p)) kernels->widen_bf16(n, linear, gate);
    kernels->widen_bf16(n, product + from, dproduct);
    kernels->ffn_backward(activation, n, dproduct, first, has_gate(p) ? gate : NULL, result);
    kernels->round_bf16(n, first, inner + from);
    if (has_gate(p)) kernels->round_bf16(n, gate, linear);
    kernels->round_bf16(n, result, product + from);
  }
}

static void activate(const ffn_work *p, int count, rn_array inner, rn_array product) {
  if (p->block->bf16) {
    activate_bf16(p, count, rn_array_bf16s(inner), rn_array_bf16s(product));
    return;
  }
  const rn_real *first = rn_array_reals(inner);
  p->kernels->ffn(p->block->activation, count, first,
                  has_gate(p) ? first + p->block->ffn_dim : NULL, rn_array_reals(product));
}

/* Computes the gradient of a row of the first product. On entry `product` holds its own
 * gradient; on return it holds the recomputed product. */
static void activate_backward(const ffn_work *p, int count, rn_array inner, rn_array product) {
  if (p->block->bf16) {
    activate_bf16_backward(p, count, rn_array_bf16s(inner), rn_array_bf16s(product));
    return;
  }
  rn_real *first = rn_array_reals(inner), *both = rn_array_reals(product);
  p->kernels->ffn_backward(p->block->activation, count, both, first,
                           has_gate(p) ? first + p->block->ffn_dim : NULL, both);
}

typedef void activation_work(const ffn_work *p, int count, rn_array inner, rn_array product);

static void each_row(const ffn_work *p, const rn_step_tile *tile, activation_work *work) {
  for (int64_t row = tile->rows.begin; row < tile->rows.end; row++) {
    work(p, (int)rn_range_count(tile->cols), rn_matrix_from(inner_of(p), row, tile->cols.begin).x,
         rn_matrix_from(product_of(p), row, tile->cols.begin).x);
  }
}

/* ---- tiles ---- */

/* Computes the first product for the tile's columns of fc1, and of the gate. */
static void multiply_by_fc1(const void *self, const rn_step_tile *tile) {
  const ffn_work *p = self;
  const int D = p->block->dim, F = p->block->ffn_dim;
  const rn_matrix fc1 = {p->fc1, D}, in = {p->in, D};
  rn_tile_nt(tile, &(rn_tile_product){.sum = D, .x = in, .w = fc1, .y = inner_of(p)});
  if (!has_gate(p)) return;
  rn_tile_nt(tile, &(rn_tile_product){.sum = D,
                                      .x = in,
                                      .w = rn_matrix_from(fc1, F, 0),
                                      .y = rn_matrix_from(inner_of(p), 0, F)});
}

static void multiply_by_fc1_and_activate(const void *self, const rn_step_tile *tile) {
  multiply_by_fc1(self, tile);
  each_row(self, tile, activate);
}

static void multiply_by_fc2(const void *self, const rn_step_tile *tile) {
  const ffn_work *p = self;
  const int D = p->block->dim, F = p->block->ffn_dim;
  rn_tile_nt(
      tile,
      &(rn_tile_product){
          .sum = F, .x = product_of(p), .w = {p->fc2, F}, .y = rn_matrix_of_reals(p->out, D)});
}

static void multiply_by_fc2_and_activate_backward(const void *self, const rn_step_tile *tile) {
  const ffn_work *p = self;
  const int D = p->block->dim, F = p->block->ffn_dim;
  rn_tile_nn(tile,
             &(rn_tile_product){.sum = D, .x = {p->in, D}, .w = {p->fc2, F}, .y = product_of(p)});
  each_row(p, tile, activate_backward);
}

static void multiply_by_fc1_backward(const void *self, const rn_step_tile *tile) {
  const ffn_work *p = self;
  const int D = p->block->dim;
  rn_tile_nn(tile, &(rn_tile_product){.sum = p->block->inner,
                                      .x = inner_of(p),
                                      .w = {p->fc1, D},
                                      .y = rn_matrix_of_reals(p->out, D)});
}

void rn_ffn_forward(const rn_ffn_block *block, const rn_real *params, rn_rows rows, rn_array x,
                    rn_ffn_activations *activations, rn_real *y) {
  const ffn_work work = work_of(block, params, x, activations, y);
  const int per_column = block->inner / block->ffn_dim * block->dim;
  const rn_tile_step steps[] = {
      {y == NULL ? multiply_by_fc1 : multiply_by_fc1_and_activate, {block->ffn_dim, 1, per_column}},
      {multiply_by_fc2, {block->dim, 1, block->ffn_dim}}};
  rn_span_phase("feed-forward");
  rn_tile_steps_run(rows, NULL, steps, y == NULL ? 1 : 2, &work);
}

void rn_ffn_backward_input(const rn_ffn_block *block, const rn_real *params, rn_rows rows,
                           rn_array dy, rn_ffn_activations *activations, rn_real *dx) {
  const ffn_work work = work_of(block, params, dy, activations, dx);
  const rn_tile_step steps[] = {
      {multiply_by_fc2_and_activate_backward, {block->ffn_dim, 1, block->dim}},
      {multiply_by_fc1_backward, {block->dim, 1, block->inner}}};
  rn_span_phase("feed-forward");
  rn_tile_steps_run(rows, NULL, steps, 2, &work);
}

void rn_ffn_weight_products(const rn_ffn_block *block, rn_array x, rn_array dy,
                            const rn_ffn_activations *activations, rn_weight_product out[2]) {
  const int dim = block->dim, ffn_dim = block->ffn_dim, inner = block->inner;
  out[0] = (rn_weight_product){
      {block->fc1, inner, dim}, {activations->inner, block->ld_inner}, {x, dim}};
  out[1] = (rn_weight_product){
      {block->fc2, dim, ffn_dim}, {dy, dim}, {activations->product, block->ld_product}};
}

void rn_ffn_backward_weight(const rn_ffn_block *block, rn_rows rows, rn_array x, rn_array dy,
                            const rn_ffn_activations *activations, rn_grad_accumulator *accumulator,
                            rn_weight_queue *queue) {
  const int waiting = queue != NULL ? 1 : 0;
  rn_weight_product products[2];
  rn_span_phase("weight gradient GEMMs");
  rn_ffn_weight_products(block, x, dy, activations, products);
  rn_grad_accumulator_defer(accumulator, queue, rows, products, waiting);
  rn_grad_accumulator_products(accumulator, queue, rows, products + waiting, 2 - waiting);
}
