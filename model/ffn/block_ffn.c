#include "model/ffn/block_ffn.h"

#include <stddef.h>

#include "model/kernel/kernels.h"
#include "model/memory/buffer.h"
#include "model/ops/load_row.h"
#include "model/ops/matmul.h"
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

/* Arguments of the functions that process blocks of rows. The arrays hold all rows. */
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

/* Number of elements of a bf16 row that are widened at a time. In the scratch array, the
 * elements of the gate follow those of fc1. */
enum { SLICE = 512 };

static void widen_inner(const ffn_work *p, int64_t at, int n, rn_real *inner) {
  const rn_bf16 *from = rn_array_bf16s(p->activations.inner) + at;
  p->kernels->widen_bf16(n, from, inner);
  if (p->block->kind == RN_FFN_GLU) p->kernels->widen_bf16(n, from + p->block->ffn_dim, inner + n);
}

static void round_inner(const ffn_work *p, int64_t at, int n, const rn_real *inner) {
  rn_bf16 *to = rn_array_bf16s(p->activations.inner) + at;
  p->kernels->round_bf16(n, inner, to);
  if (p->block->kind == RN_FFN_GLU) p->kernels->round_bf16(n, inner + n, to + p->block->ffn_dim);
}

static void activate_bf16(const ffn_work *p, int64_t row) {
  const rn_ffn_block *b = p->block;
  rn_real inner[2 * SLICE], product[SLICE];
  for (int from = 0; from < b->ffn_dim; from += SLICE) {
    const int n = b->ffn_dim - from < SLICE ? b->ffn_dim - from : SLICE;
    widen_inner(p, row * b->ld_inner + from, n, inner);
    p->kernels->ffn(b->kind, b->activation, n, inner, product);
    p->kernels->round_bf16(n, product,
                           rn_array_bf16s(p->activations.product) + row * b->ld_product + from);
  }
}

static void activate_bf16_backward(const ffn_work *p, int64_t row) {
  const rn_ffn_block *b = p->block;
  rn_real inner[2 * SLICE], dproduct[SLICE], product[SLICE];
  for (int from = 0; from < b->ffn_dim; from += SLICE) {
    const int n = b->ffn_dim - from < SLICE ? b->ffn_dim - from : SLICE;
    widen_inner(p, row * b->ld_inner + from, n, inner);
    p->kernels->widen_bf16(n, rn_array_bf16s(p->activations.product) + row * b->ld_product + from,
                           dproduct);
    p->kernels->ffn_backward(b->kind, b->activation, n, dproduct, inner, product);
    round_inner(p, row * b->ld_inner + from, n, inner);
    p->kernels->round_bf16(n, product,
                           rn_array_bf16s(p->activations.product) + row * b->ld_product + from);
  }
}

static void activate(const ffn_work *p, int64_t row) {
  const rn_ffn_block *b = p->block;
  if (b->bf16) {
    activate_bf16(p, row);
  } else {
    p->kernels->ffn(b->kind, b->activation, b->ffn_dim,
                    rn_array_reals(p->activations.inner) + row * b->ld_inner,
                    rn_array_reals(p->activations.product) + row * b->ld_product);
  }
}

/* Computes the gradient of a row of the first product. On entry `product` holds its own
 * gradient; on return it holds the recomputed product. */
static void activate_backward(const ffn_work *p, int64_t row) {
  const rn_ffn_block *b = p->block;
  if (b->bf16) {
    activate_bf16_backward(p, row);
  } else {
    rn_real *product = rn_array_reals(p->activations.product) + row * b->ld_product;
    p->kernels->ffn_backward(b->kind, b->activation, b->ffn_dim, product,
                             rn_array_reals(p->activations.inner) + row * b->ld_inner, product);
  }
}

static void forward_rows(const void *self, rn_range rows) {
  const ffn_work *p = self;
  const int D = p->block->dim, F = p->block->ffn_dim, inner = p->block->inner;
  rn_block_nt(rows, inner, D, p->in, D, p->fc1, D, 0, p->activations.inner, p->block->ld_inner);
  if (p->out == NULL) return;
  for (int64_t r = rows.begin; r < rows.end; r++) activate(p, r);
  rn_block_nt(rows, D, F, p->activations.product, p->block->ld_product, p->fc2, F, 0,
              rn_reals(p->out), D);
}

void rn_ffn_forward(const rn_ffn_block *block, const rn_real *params, rn_rows rows, rn_array x,
                    rn_ffn_activations *activations, rn_real *y) {
  const ffn_work work = work_of(block, params, x, activations, y);
  rn_span_phase("feed-forward");
  rn_each_block(rows, NULL, forward_rows, &work);
}

static void backward_rows(const void *self, rn_range rows) {
  const ffn_work *p = self;
  const int D = p->block->dim, F = p->block->ffn_dim, inner = p->block->inner;
  rn_block_nn(rows, F, D, p->in, D, p->fc2, F, 0, p->activations.product, p->block->ld_product);
  for (int64_t r = rows.begin; r < rows.end; r++) activate_backward(p, r);
  rn_block_nn(rows, D, inner, p->activations.inner, p->block->ld_inner, p->fc1, D, 0,
              rn_reals(p->out), D);
}

void rn_ffn_backward_input(const rn_ffn_block *block, const rn_real *params, rn_rows rows,
                           rn_array dy, rn_ffn_activations *activations, rn_real *dx) {
  const ffn_work work = work_of(block, params, dy, activations, dx);
  rn_span_phase("feed-forward");
  rn_each_block(rows, NULL, backward_rows, &work);
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
