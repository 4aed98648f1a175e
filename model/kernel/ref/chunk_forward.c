/* One chunk of one head, forward: three small groups of products around the decay mask. */
#include <math.h>

#include "model/kernel/products.h"
#include "model/kernel/ref/chunk.h"
#include "model/kernel/ref/set.h"

static void chunk_own(const rn_chunk *c, const rn_real *k, const rn_real *v, rn_real *work,
                      rn_real *own) {
  int key = c->key_width, value = c->value_width;
  rn_rows_zeta(c, key, k, c->ldk, work);
  rn_products_table()->tn(key, value, c->tokens - c->last, 1, work, key, v + c->last * c->ldv,
                          c->ldv, 0, own, value);
}

static void sum_abs(rn_band band, const rn_real *scores, rn_real *abs_sum, int64_t ld_sum) {
  for (int i = band.begin; i < band.end; i++) {
    const rn_real *row = scores + (int64_t)(i - band.begin) * band.end;
    rn_real sum = 0;
    for (int j = 0; j <= i; j++) sum += (rn_real)fabs(row[j]);
    abs_sum[i * ld_sum] = sum;
  }
}

static void chunk_inner(const rn_chunk *c, const rn_real *q, const rn_real *k, const rn_real *v,
                        rn_real *work, rn_real *o, rn_real *abs_sum, int64_t ld_sum) {
  const rn_products *products = rn_products_table();
  for (int begin = 0; begin < c->tokens; begin += RN_CHUNK_BAND) {
    rn_band band = rn_band_next(c, begin);
    int rows = band.end - band.begin;
    products->nt(rows, band.end, c->key_width, 1, q + begin * c->ldq, c->ldq, k, c->ldk, 0, work,
                 band.end);
    rn_band_decay(c, band, work);
    if (abs_sum != NULL) sum_abs(band, work, abs_sum, ld_sum);
    products->nn(rows, c->value_width, band.end, 1, work, band.end, v, c->ldv, 0,
                 o + begin * c->ldo, c->ldo);
  }
}

static void chunk_cross(const rn_chunk *c, const rn_real *q, const rn_real *state, rn_real *work,
                        rn_real *o) {
  if (c->lead == 0) return;
  int key = c->key_width, value = c->value_width;
  rn_rows_xi(c, key, q, c->ldq, work);
  rn_products_table()->nn(c->lead, value, key, 1, work, key, state, value, 1, o, c->ldo);
}

void RN_SET(rn_enter_chunk_forward)(rn_kernels *table) {
  table->chunk_own = chunk_own;
  table->chunk_inner = chunk_inner;
  table->chunk_cross = chunk_cross;
}
