/* Computes the forward of one chunk of one head: the contribution to the state, the inner term and
 * the cross term, by small matrix products with decay factors. */
#include <math.h>

#include "model/kernel/gemm.h"
#include "model/kernel/ref/chunk.h"
#include "model/kernel/ref/set.h"

static void chunk_own(const rn_chunk *c, rn_array k, rn_array v, rn_real *work, rn_real *own) {
  int key = c->key_width, value = c->value_width;
  const rn_array scaled = rn_rows_zeta(c, key, k, c->ldk, work);
  rn_gemm(RN_GEMM_TN, key, value, c->tokens - c->last, scaled, key,
          rn_array_from(v, c->last * c->ldv), c->ldv, 0, rn_reals(own), value);
}

static void sum_abs(rn_chunk_tile tile, rn_array scores, rn_real *abs_sum, int64_t ld_sum) {
  for (int i = tile.begin; i < tile.end; i++) {
    const rn_array row = rn_array_from(scores, (int64_t)(i - tile.begin) * tile.end);
    rn_real sum = 0;
    for (int j = 0; j <= i; j++) sum += (rn_real)fabs(rn_array_value(row, j));
    abs_sum[i * ld_sum] = sum;
  }
}

static void chunk_inner(const rn_chunk *c, rn_array q, rn_array k, rn_array v, rn_real *work,
                        rn_real *o, rn_real *abs_sum, int64_t ld_sum) {
  const rn_array p = {q.bf16 ? work + (int64_t)RN_CHUNK_TILE * c->tokens : work, q.bf16};
  for (int begin = 0; begin < c->tokens; begin += RN_CHUNK_TILE) {
    rn_chunk_tile tile = rn_chunk_tile_next(c, begin);
    int rows = tile.end - tile.begin;
    rn_gemm(RN_GEMM_NT, rows, tile.end, c->key_width, rn_array_from(q, begin * c->ldq), c->ldq, k,
            c->ldk, 0, rn_reals(work), tile.end);
    rn_chunk_tile_decay(c, tile, work, p);
    if (abs_sum != NULL) sum_abs(tile, p, abs_sum, ld_sum);
    rn_gemm(RN_GEMM_NN, rows, c->value_width, tile.end, p, tile.end, v, c->ldv, 0,
            rn_reals(o + begin * c->ldo), c->ldo);
  }
}

static void chunk_cross(const rn_chunk *c, rn_array q, rn_array state, rn_real *work, rn_real *o) {
  if (c->lead == 0) return;
  int key = c->key_width, value = c->value_width;
  const rn_array scaled = rn_rows_xi(c, key, q, c->ldq, work);
  rn_gemm(RN_GEMM_NN, c->lead, value, key, scaled, key, state, value, 1, rn_reals(o), c->ldo);
}

void RN_SET(rn_enter_chunk_forward)(rn_kernels *table) {
  table->chunk_own = chunk_own;
  table->chunk_inner = chunk_inner;
  table->chunk_cross = chunk_cross;
}
