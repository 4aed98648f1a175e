/* One chunk of one head, backward: the adjoints of chunk_forward.c in the same order. */
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

/* grad [columns of the band, width] += scores^T x; columns that no earlier band has reached are
 * set instead. */
static void add_columns(rn_band band, int width, rn_array scores, rn_array x, int64_t ldx,
                        rn_real *grad, int64_t ldg) {
  int rows = band.end - band.begin;
  if (band.begin > 0) {
    rn_gemm(RN_GEMM_TN, band.begin, width, rows, scores, band.end, x, ldx, 1, rn_reals(grad), ldg);
  }
  rn_gemm(RN_GEMM_TN, rows, width, rows, rn_array_from(scores, band.begin), band.end, x, ldx, 0,
          rn_reals(grad + band.begin * ldg), ldg);
}

static void chunk_inner_backward(const rn_chunk *c, rn_array q, rn_array k, rn_array v,
                                 rn_array dout, rn_real *work, const rn_chunk_grads *grads) {
  const int64_t scores = (int64_t)RN_CHUNK_BAND * c->tokens;
  rn_real *p_sums = work, *dp_sums = work + scores;
  const rn_array p = {q.bf16 ? work + 2 * scores : p_sums, q.bf16};
  const rn_array dp = q.bf16 ? rn_array_from(p, scores) : rn_reals(dp_sums);
  int key = c->key_width, value = c->value_width;
  for (int begin = 0; begin < c->tokens; begin += RN_CHUNK_BAND) {
    rn_band band = rn_band_next(c, begin);
    int rows = band.end - band.begin;
    const rn_array q_band = rn_array_from(q, begin * c->ldq);
    const rn_array dout_band = rn_array_from(dout, begin * c->ldo);
    rn_gemm(RN_GEMM_NT, rows, band.end, key, q_band, c->ldq, k, c->ldk, 0, rn_reals(p_sums),
            band.end);
    rn_gemm(RN_GEMM_NT, rows, band.end, value, dout_band, c->ldo, v, c->ldv, 0, rn_reals(dp_sums),
            band.end);
    rn_band_decay(c, band, p_sums, p);
    rn_band_decay(c, band, dp_sums, dp);
    rn_gemm(RN_GEMM_NN, rows, key, band.end, dp, band.end, k, c->ldk, 0,
            rn_reals(grads->dq + begin * grads->lddq), grads->lddq);
    add_columns(band, key, dp, q_band, c->ldq, grads->dk, grads->lddkv);
    add_columns(band, value, p, dout_band, c->ldo, grads->dv, grads->lddkv);
  }
}

static void chunk_cross_backward(const rn_chunk *c, rn_array k, rn_array v, rn_array dout,
                                 rn_array state, rn_array adjoint, rn_real *work,
                                 const rn_chunk_grads *grads) {
  int key = c->key_width, value = c->value_width, going_on = c->tokens - c->last;
  if (c->lead > 0) {
    const rn_array scaled = rn_rows_xi(c, value, dout, c->ldo, work);
    rn_gemm(RN_GEMM_NT, c->lead, key, value, scaled, value, state, value, 1, rn_reals(grads->dq),
            grads->lddq);
  }
  rn_array scaled = rn_rows_zeta(c, value, v, c->ldv, work);
  rn_gemm(RN_GEMM_NT, going_on, key, value, scaled, value, adjoint, value, 1,
          rn_reals(grads->dk + c->last * grads->lddkv), grads->lddkv);
  scaled = rn_rows_zeta(c, key, k, c->ldk, work);
  rn_gemm(RN_GEMM_NN, going_on, value, key, scaled, key, adjoint, value, 1,
          rn_reals(grads->dv + c->last * grads->lddkv), grads->lddkv);
}

void RN_SET(rn_enter_chunk_backward)(rn_kernels *table) {
  table->chunk_own_backward = chunk_own_backward;
  table->chunk_inner_backward = chunk_inner_backward;
  table->chunk_cross_backward = chunk_cross_backward;
}
