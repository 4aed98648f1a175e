/* Computes the backward of one chunk of one head: the adjoints of the functions in chunk_forward.c,
 * in the same order. */
#include "model/kernel/gemm.h"
#include "model/kernel/ref/chunk.h"
#include "model/kernel/ref/set.h"

static void chunk_own_backward(const rn_chunk *c, rn_array q, rn_array dout, rn_real *work,
                               rn_real *own) {
  int key = c->key_width, value = c->value_width;
  if (c->lead == 0) {
    for (int64_t i = 0; i < (int64_t)key * value; i++) own[i] = 0;
    return;
  }
  const rn_array scaled = rn_rows_xi(c, key, q, c->ldq, work);
  rn_gemm(RN_GEMM_TN, key, value, c->lead, scaled, key, dout, c->ldo, 0, rn_reals(own), value);
}

/* Computes grad [columns of the tile, width] += scores^T x. Overwrites the rows of grad to which no
 * earlier tile has contributed. */
static void add_columns(rn_chunk_tile tile, int width, rn_array scores, rn_array x, int64_t ldx,
                        rn_real *grad, int64_t ldg) {
  int rows = tile.end - tile.begin;
  if (tile.begin > 0) {
    rn_gemm(RN_GEMM_TN, tile.begin, width, rows, scores, tile.end, x, ldx, 1, rn_reals(grad), ldg);
  }
  rn_gemm(RN_GEMM_TN, rows, width, rows, rn_array_from(scores, tile.begin), tile.end, x, ldx, 0,
          rn_reals(grad + tile.begin * ldg), ldg);
}

static void chunk_inner_backward(const rn_chunk *c, rn_array q, rn_array k, rn_array v,
                                 rn_array dout, rn_real *work, const rn_chunk_grads *grads) {
  const int64_t scores = (int64_t)RN_CHUNK_TILE * c->tokens;
  rn_real *p_sums = work, *dp_sums = work + scores;
  const rn_array p = {q.bf16 ? work + 2 * scores : p_sums, q.bf16};
  const rn_array dp = q.bf16 ? rn_array_from(p, scores) : rn_reals(dp_sums);
  int key = c->key_width, value = c->value_width;
  for (int begin = 0; begin < c->tokens; begin += RN_CHUNK_TILE) {
    rn_chunk_tile tile = rn_chunk_tile_next(c, begin);
    int rows = tile.end - tile.begin;
    const rn_array q_tile = rn_array_from(q, begin * c->ldq);
    const rn_array dout_tile = rn_array_from(dout, begin * c->ldo);
    rn_gemm(RN_GEMM_NT, rows, tile.end, key, q_tile, c->ldq, k, c->ldk, 0, rn_reals(p_sums),
            tile.end);
    rn_gemm(RN_GEMM_NT, rows, tile.end, value, dout_tile, c->ldo, v, c->ldv, 0, rn_reals(dp_sums),
            tile.end);
    rn_chunk_tile_decay(c, tile, p_sums, p);
    rn_chunk_tile_decay(c, tile, dp_sums, dp);
    rn_gemm(RN_GEMM_NN, rows, key, tile.end, dp, tile.end, k, c->ldk, 0,
            rn_reals(grads->dq + begin * grads->lddq), grads->lddq);
    add_columns(tile, key, dp, q_tile, c->ldq, grads->dk, grads->lddkv);
    add_columns(tile, value, p, dout_tile, c->ldo, grads->dv, grads->lddkv);
  }
}

static void chunk_cross_backward(const rn_chunk *c, rn_array k, rn_array v, rn_array dout,
                                 rn_array state, rn_array adjoint, rn_real *work,
                                 const rn_chunk_grads *grads) {
  int key = c->key_width, value = c->value_width, continuing = c->tokens - c->last;
  if (c->lead > 0) {
    const rn_array scaled = rn_rows_xi(c, value, dout, c->ldo, work);
    rn_gemm(RN_GEMM_NT, c->lead, key, value, scaled, value, state, value, 1, rn_reals(grads->dq),
            grads->lddq);
  }
  rn_array scaled = rn_rows_zeta(c, value, v, c->ldv, work);
  rn_gemm(RN_GEMM_NT, continuing, key, value, scaled, value, adjoint, value, 1,
          rn_reals(grads->dk + c->last * grads->lddkv), grads->lddkv);
  scaled = rn_rows_zeta(c, key, k, c->ldk, work);
  rn_gemm(RN_GEMM_NN, continuing, value, key, scaled, key, adjoint, value, 1,
          rn_reals(grads->dv + c->last * grads->lddkv), grads->lddkv);
}

void RN_SET(rn_enter_chunk_backward)(rn_kernels *table) {
  table->chunk_own_backward = chunk_own_backward;
  table->chunk_inner_backward = chunk_inner_backward;
  table->chunk_cross_backward = chunk_cross_backward;
}
