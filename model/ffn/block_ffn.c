#include "model/ffn/block_ffn.h"

#include <stddef.h>

#include "model/kernel/kernels.h"
#include "model/memory/buffer.h"
#include "model/ops/matmul.h"
#include "model/ops/pack_weights.h"
#include "model/ops/tile_steps.h"
#include "proto/base/span.h"

/* The weights that forward or backward multiplies by. With glu, FC1 also contains the rows of the
 * gate, after those of fc1. */
enum { FC1, FC2, WEIGHTS };
typedef struct ffn_weights {
  rn_packed_weight of[WEIGHTS];
} ffn_weights;

static ffn_weights forward_weights(const rn_ffn_block *b, rn_array fc1, rn_array fc2) {
  return (ffn_weights){
      {rn_weight_nt(b->inner, b->dim, fc1), rn_weight_nt(b->dim, b->ffn_dim, fc2)}};
}

static ffn_weights backward_weights(const rn_ffn_block *b, rn_array fc1, rn_array fc2) {
  return (ffn_weights){
      {rn_weight_nn(b->dim, b->inner, fc1), rn_weight_nn(b->ffn_dim, b->dim, fc2)}};
}

static void *take_packed(const rn_ffn_block *b, const rn_buffer_space *space) {
  const rn_array none = {NULL, b->bf16};
  const ffn_weights forward = forward_weights(b, none, none),
                    backward = backward_weights(b, none, none);
  const size_t forward_bytes = rn_pack_weights_bytes(forward.of, WEIGHTS),
               backward_bytes = rn_pack_weights_bytes(backward.of, WEIGHTS);
  const size_t bytes = forward_bytes > backward_bytes ? forward_bytes : backward_bytes;
  if (bytes == 0) return NULL;
  return rn_buffer_take(space, "packed ffn weights", bytes,
                        rn_use_twice(rn_use_in_forward(RN_UNIT_PHASE_FFN, RN_UNIT_PHASE_FFN),
                                     rn_use_in_backward(RN_UNIT_PHASE_D_FFN, RN_UNIT_PHASE_D_FFN)));
}

rn_ffn_activations rn_ffn_buffers(const rn_ffn_block *b, int64_t rows,
                                  const rn_buffer_space *space) {
  return (rn_ffn_activations){
      .packed = take_packed(b, space),
      .inner = rn_buffer_array(
          space, "ffn inner", rows * b->ld_inner, b->bf16,
          rn_use_saved(RN_UNIT_PHASE_FFN, RN_UNIT_PHASE_FFN, RN_UNIT_PHASE_FFN_WEIGHT)),
      .product = rn_buffer_array(space, "ffn product", rows * b->ld_product, b->bf16,
                                 rn_use_recomputed(RN_UNIT_PHASE_FFN, RN_UNIT_PHASE_FFN,
                                                   RN_UNIT_PHASE_D_FFN, RN_UNIT_PHASE_FFN_WEIGHT))};
}

/* The arguments of the functions that compute one tile. The arrays hold all rows. */
typedef struct ffn_work {
  const rn_ffn_block *block;
  const rn_kernels *kernels;
  ffn_weights weights;
  rn_array in;
  rn_ffn_activations activations;
  rn_real *out;
} ffn_work;

typedef ffn_weights weights_of_phase(const rn_ffn_block *b, rn_array fc1, rn_array fc2);

/* Returns the arguments of a phase's tile functions, after packing the weights of the phase. */
static ffn_work work_of(const rn_ffn_block *block, const rn_real *params, rn_rows rows,
                        weights_of_phase *weights_of, const rn_ffn_activations *activations) {
  ffn_work work = {
      .block = block,
      .kernels = rn_kernels_table(),
      .weights = weights_of(block, rn_array_of_weights(block->weights, params, block->fc1),
                            rn_array_of_weights(block->weights, params, block->fc2)),
      .activations = *activations};
  rn_pack_weights(rows, work.weights.of, WEIGHTS, activations->packed);
  return work;
}

/* Returns the arguments of a product of x and weight `index`. */
static rn_tile_product product_with(const ffn_work *p, int index, rn_matrix x, rn_matrix y) {
  const rn_packed_weight *w = &p->weights.of[index];
  return (rn_tile_product){.sum = w->k, .x = x, .w = w->w, .y = y, .packed = w};
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

/* ---- one row of a tile: `inner` and `product` begin at the row's first element ---- */

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

/* Replaces a row of the first product, `inner`, by its gradient. On entry, `product` holds the
 * gradient of the activated row; on return, it holds the activated row, which is recomputed. */
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

/* Computes the first product for the tile's columns, with fc1 and with the gate. */
static void multiply_by_fc1(const void *self, const rn_step_tile *tile) {
  const ffn_work *p = self;
  const int F = p->block->ffn_dim;
  rn_tile_product product = product_with(p, FC1, (rn_matrix){p->in, p->block->dim}, inner_of(p));
  rn_tile_nt(tile, &product);
  if (!has_gate(p)) return;
  product.w = rn_matrix_from(product.w, F, 0);
  product.y = rn_matrix_from(product.y, 0, F);
  product.packed_col = F;
  rn_tile_nt(tile, &product);
}

static void multiply_by_fc1_and_activate(const void *self, const rn_step_tile *tile) {
  multiply_by_fc1(self, tile);
  each_row(self, tile, activate);
}

static void multiply_by_fc2(const void *self, const rn_step_tile *tile) {
  const ffn_work *p = self;
  const rn_matrix y = rn_matrix_of_reals(p->out, p->block->dim);
  const rn_tile_product product = product_with(p, FC2, product_of(p), y);
  rn_tile_nt(tile, &product);
}

static void multiply_by_fc2_and_activate_backward(const void *self, const rn_step_tile *tile) {
  const ffn_work *p = self;
  const rn_matrix dy = {p->in, p->block->dim};
  const rn_tile_product product = product_with(p, FC2, dy, product_of(p));
  rn_tile_nn(tile, &product);
  each_row(p, tile, activate_backward);
}

static void multiply_by_fc1_backward(const void *self, const rn_step_tile *tile) {
  const ffn_work *p = self;
  const rn_matrix dx = rn_matrix_of_reals(p->out, p->block->dim);
  const rn_tile_product product = product_with(p, FC1, inner_of(p), dx);
  rn_tile_nn(tile, &product);
}

void rn_ffn_forward(const rn_ffn_block *block, const rn_real *params, rn_rows rows, rn_array x,
                    rn_ffn_activations *activations, rn_real *y) {
  rn_span_phase("feed-forward");
  ffn_work work = work_of(block, params, rows, forward_weights, activations);
  const int per_column = block->inner / block->ffn_dim * block->dim;
  const rn_tile_step steps[] = {
      {y == NULL ? multiply_by_fc1 : multiply_by_fc1_and_activate, {block->ffn_dim, 1, per_column}},
      {multiply_by_fc2, {block->dim, 1, block->ffn_dim}}};
  work.in = x;
  work.out = y;
  rn_tile_steps_run(rows, NULL, steps, y == NULL ? 1 : 2, &work);
}

void rn_ffn_backward_input(const rn_ffn_block *block, const rn_real *params, rn_rows rows,
                           rn_array dy, rn_ffn_activations *activations, rn_real *dx) {
  rn_span_phase("feed-forward");
  ffn_work work = work_of(block, params, rows, backward_weights, activations);
  const rn_tile_step steps[] = {
      {multiply_by_fc2_and_activate_backward, {block->ffn_dim, 1, block->dim}},
      {multiply_by_fc1_backward, {block->dim, 1, block->inner}}};
  work.in = dy;
  work.out = dx;
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
