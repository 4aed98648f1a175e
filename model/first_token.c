#include "model/first_token.h"

#include <math.h>
#include <stdint.h>

static double dot(int n, const rn_real *w, const double *x) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int i = 0; i < n; i++) sum += (double)w[i] * x[i];
  return sum;
}

void rn_first_token_retain(rn_first_token s, const double *x, const rn_real *wq, const rn_real *wk,
                           const rn_real *v, rn_real *o) {
#pragma omp parallel for schedule(static)
  for (int h = 0; h < s.heads; h++) {
    double score = 0;
    for (int64_t d = (int64_t)h * s.key_width; d < (int64_t)(h + 1) * s.key_width; d++) {
      score += dot(s.dim, wq + d * s.dim, x) * dot(s.dim, wk + d * s.dim, x);
    }
    score /= sqrt((double)s.key_width);
    for (int64_t e = (int64_t)h * s.value_width; e < (int64_t)(h + 1) * s.value_width; e++) {
      o[e] = (rn_real)(score * (double)v[e]);
    }
  }
}
