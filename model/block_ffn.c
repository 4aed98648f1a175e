#include "model/block_ffn.h"

#include <stddef.h>

#include "model/kernel/kernels.h"
#include "model/matmul.h"
#include "proto/span.h"

size_t rn_ffn_tape_bytes(const rn_ffn_block *block, int64_t rows) {
  return rn_arena_round((size_t)(rows * block->inner) * sizeof(rn_real)) +
         rn_arena_round((size_t)(rows * block->ffn_dim) * sizeof(rn_real));
}

rn_ffn_tape rn_ffn_tape_take(const rn_ffn_block *block, int64_t rows, rn_arena *arena) {
  rn_ffn_tape tape;
  tape.inner = rn_arena_take(arena, (size_t)(rows * block->inner) * sizeof(rn_real));
  tape.product = rn_arena_take(arena, (size_t)(rows * block->ffn_dim) * sizeof(rn_real));
  return tape;
}

/* What a block of rows goes through: arrays of all rows. */
typedef struct ffn_pass {
  const rn_ffn_block *block;
  const rn_kernels *kernels;
  const rn_real *fc1, *fc2, *in;
  rn_ffn_tape tape;
  rn_real *work, *out;
} ffn_pass;

static ffn_pass pass_of(const rn_ffn_block *block, const rn_real *params, const rn_real *in,
                        const rn_ffn_tape *tape, rn_real *work, rn_real *out) {
  return (ffn_pass){
      block, rn_kernels_table(), params + block->fc1, params + block->fc2, in, *tape, work, out};
}

static void forward_rows(const void *self, rn_range rows) {
  const ffn_pass *p = self;
  const rn_ffn_block *b = p->block;
  const int D = b->dim, F = b->ffn_dim, inner = b->inner;
  rn_block_nt(rows, inner, D, p->in, D, p->fc1, D, 0, p->tape.inner, inner);
  for (int64_t r = rows.begin; r < rows.end; r++) {
    p->kernels->ffn(b->kind, b->activation, F, p->tape.inner + r * inner, p->tape.product + r * F);
  }
  rn_block_nt(rows, D, F, p->tape.product, F, p->fc2, F, 0, p->out, D);
}

void rn_ffn_forward(const rn_ffn_block *block, const rn_real *params, rn_rows rows,
                    const rn_real *x, rn_ffn_tape *tape, rn_real *y) {
  const ffn_pass pass = pass_of(block, params, x, tape, NULL, y);
  rn_span_phase("feed-forward");
  rn_each_block(rows, NULL, forward_rows, &pass);
}

static void backward_rows(const void *self, rn_range rows) {
  const ffn_pass *p = self;
  const rn_ffn_block *b = p->block;
  const int D = b->dim, F = b->ffn_dim, inner = b->inner;
  rn_block_nn(rows, F, D, p->in, D, p->fc2, F, 0, p->work, F);
  for (int64_t r = rows.begin; r < rows.end; r++) {
    p->kernels->ffn_backward(b->kind, b->activation, F, p->work + r * F, p->tape.inner + r * inner);
  }
  rn_block_nn(rows, D, inner, p->tape.inner, inner, p->fc1, D, 0, p->out, D);
}

void rn_ffn_backward_input(const rn_ffn_block *block, const rn_real *params, rn_rows rows,
                           const rn_real *dy, rn_ffn_tape *tape, rn_real *work, rn_real *dx) {
  const ffn_pass pass = pass_of(block, params, dy, tape, work, dx);
  rn_span_phase("feed-forward");
  rn_each_block(rows, NULL, backward_rows, &pass);
}

void rn_ffn_backward_weight(const rn_ffn_block *block, rn_rows rows, const rn_real *x,
                            const rn_real *dy, const rn_ffn_tape *tape, rn_sink *sink) {
  int dim = block->dim, ffn_dim = block->ffn_dim, inner = block->inner;
  rn_span_phase("weight products");
  rn_sink_product(sink, block->fc2, dim, ffn_dim, rows, dy, dim, tape->product, ffn_dim);
  rn_sink_product(sink, block->fc1, inner, dim, rows, tape->inner, inner, x, dim);
}
