/* Computes the recurrent form: processes one token at a time and keeps one state per head, so that
 * memory does not depend on the number of tokens. */
#include <string.h>

#include "model/retention/retention.h"

void rn_retention_recurrent(const rn_retention *r, const rn_retention_view *u, rn_real *state,
                            rn_real *o, int64_t ldo) {
  const int K = r->key_width, V = r->value_width;
#pragma omp parallel for schedule(static)
  for (int64_t bh = 0; bh < (int64_t)u->sequences * r->heads; bh++) {
    const int64_t row = bh / r->heads * u->tokens, h = bh % r->heads;
    const rn_real gamma = r->power[h * (r->max_tokens + 1) + 1];
    rn_real *s = state + bh * K * V;
    for (int n = 0; n < u->tokens; n++) {
      const rn_real *q = rn_array_reals(u->q.x) + (row + n) * u->q.ld + h * K;
      const rn_real *k = rn_array_reals(u->k.x) + (row + n) * u->k.ld + h * K;
      const rn_real *v = rn_array_reals(u->v.x) + (row + n) * u->v.ld + h * V;
      if (u->doc_position[row + n] == 0) memset(s, 0, (size_t)K * (size_t)V * sizeof *s);
      rn_real *out = o == NULL ? NULL : o + (row + n) * ldo + h * V;
      r->kernels->recur(K, V, gamma, q, k, v, s, out);
    }
  }
}
