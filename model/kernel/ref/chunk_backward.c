/* One chunk of one head, backward: the adjoints of chunk_forward.c in the same order. */
#include "model/kernel/products.h"
#include "model/kernel/ref/chunk.h"
#include "model/kernel/ref/set.h"

static void chunk_own_backward(const rn_chunk *c, const rn_real *q, const rn_real *dout,
                               rn_real *work, rn_real *own) {
  int key = c->key_width, value = c->value_width;
  if (c->lead == 0) {
    for (int64_t i = 0; i < (int64_t)key * value; i++) own[i] = 0;
    return;
  }
  rn_rows_xi(c, key, q, c->ldq, work);
  rn_products_table()->tn(key, value, c->lead, 1, work, key, dout, c->ldo, 0, own, value);
}

/* grad [columns of the band, width] += scores^T x: the columns that this band is first to reach
 * are set, the others added to. */
static void add_columns(rn_band band, int width, const rn_real *scores, const rn_real *x,
                        int64_t ldx, rn_real *grad, int64_t ldg) {
  const rn_products *products = rn_products_table();
  int rows = band.end - band.begin;
  if (band.begin > 0) {
    products->tn(band.begin, width, rows, 1, scores, band.end, x, ldx, 1, grad, ldg);
  }
  products->tn(rows, width, rows, 1, scores + band.begin, band.end, x, ldx, 0,
               grad + band.begin * ldg, ldg);
}

static void chunk_inner_backward(const rn_chunk *c, const rn_real *q, const rn_real *k,
                                 const rn_real *v, const rn_real *dout, rn_real *work,
                                 const rn_chunk_grads *grads) {
  const rn_products *products = rn_products_table();
  rn_real *p = work, *dp = work + (int64_t)RN_CHUNK_BAND * c->tokens;
  int key = c->key_width, value = c->value_width;
  for (int begin = 0; begin < c->tokens; begin += RN_CHUNK_BAND) {
    rn_band band = rn_band_next(c, begin);
    int rows = band.end - band.begin;
    const rn_real *q_band = q + begin * c->ldq, *dout_band = dout + begin * c->ldo;
    products->nt(rows, band.end, key, 1, q_band, c->ldq, k, c->ldk, 0, p, band.end);
    products->nt(rows, band.end, value, 1, dout_band, c->ldo, v, c->ldv, 0, dp, band.end);
    rn_band_decay(c, band, p);
    rn_band_decay(c, band, dp);
    products->nn(rows, key, band.end, 1, dp, band.end, k, c->ldk, 0,
                 grads->dq + begin * grads->lddq, grads->lddq);
    add_columns(band, key, dp, q_band, c->ldq, grads->dk, grads->lddkv);
    add_columns(band, value, p, dout_band, c->ldo, grads->dv, grads->lddkv);
  }
}

static void chunk_cross_backward(const rn_chunk *c, const rn_real *k, const rn_real *v,
                                 const rn_real *dout, const rn_real *state, const rn_real *adjoint,
                                 rn_real *work, const rn_chunk_grads *grads) {
  const rn_products *products = rn_products_table();
  int key = c->key_width, value = c->value_width, going_on = c->tokens - c->last;
  if (c->lead > 0) {
    rn_rows_xi(c, value, dout, c->ldo, work);
    products->nt(c->lead, key, value, 1, work, value, state, value, 1, grads->dq, grads->lddq);
  }
  rn_rows_zeta(c, value, v, c->ldv, work);
  products->nt(going_on, key, value, 1, work, value, adjoint, value, 1,
               grads->dk + c->last * grads->lddkv, grads->lddkv);
  rn_rows_zeta(c, key, k, c->ldk, work);
  products->nn(going_on, value, key, 1, work, key, adjoint, value, 1,
               grads->dv + c->last * grads->lddkv, grads->lddkv);
}

void RN_SET(rn_enter_chunk_backward)(rn_kernels *table) {
  table->chunk_own_backward = chunk_own_backward;
  table->chunk_inner_backward = chunk_inner_backward;
  table->chunk_cross_backward = chunk_cross_backward;
}
