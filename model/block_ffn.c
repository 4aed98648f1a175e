#include "model/block_ffn.h"

#include "model/kernel/kernels.h"
#include "model/matmul.h"

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

void rn_ffn_forward(const rn_ffn_block *block, const rn_real *params, rn_rows rows,
                    const rn_real *x, rn_ffn_tape *tape, rn_real *y) {
  const int dim = block->dim, ffn_dim = block->ffn_dim, inner = block->inner;
  const rn_kernels *kernels = rn_kernels_table();
  rn_matmul_nt(rows, inner, dim, x, dim, params + block->fc1, dim, 0, tape->inner, inner);
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows.count; r++) {
    kernels->ffn(block->kind, block->activation, ffn_dim, tape->inner + r * inner,
                 tape->product + r * ffn_dim);
  }
  rn_matmul_nt(rows, dim, ffn_dim, tape->product, ffn_dim, params + block->fc2, ffn_dim, 0, y, dim);
}

void rn_ffn_backward_input(const rn_ffn_block *block, const rn_real *params, rn_rows rows,
                           const rn_real *dy, rn_ffn_tape *tape, rn_real *work, rn_real *dx) {
  const int dim = block->dim, ffn_dim = block->ffn_dim, inner = block->inner;
  const rn_kernels *kernels = rn_kernels_table();
  rn_matmul_nn(rows, ffn_dim, dim, dy, dim, params + block->fc2, ffn_dim, 0, work, ffn_dim);
#pragma omp parallel for schedule(static)
  for (int64_t r = 0; r < rows.count; r++) {
    kernels->ffn_backward(block->kind, block->activation, ffn_dim, work + r * ffn_dim,
                          tape->inner + r * inner);
  }
  rn_matmul_nn(rows, dim, inner, tape->inner, inner, params + block->fc1, dim, 0, dx, dim);
}

void rn_ffn_backward_weight(const rn_ffn_block *block, rn_rows rows, const rn_real *x,
                            const rn_real *dy, const rn_ffn_tape *tape, rn_sink *sink) {
  int dim = block->dim, ffn_dim = block->ffn_dim, inner = block->inner;
  rn_sink_product(sink, block->fc2, dim, ffn_dim, rows, dy, dim, tape->product, ffn_dim);
  rn_sink_product(sink, block->fc1, inner, dim, rows, tape->inner, inner, x, dim);
}
