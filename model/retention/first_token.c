#include "model/retention/first_token.h"

#include <math.h>
#include <stdint.h>

/* Returns the dot product of w and x. Keeps partial sums in lanes and then adds the lanes one by
 * one, so that the order does not depend on the compiler. */
static double dot(int n, const rn_real *w, const double *x) {
  enum { LANES = 8 };
  double lane[LANES] = {0}, sum = 0;
  const int whole = n - n % LANES;
  for (int i = 0; i < whole; i += LANES) {
#pragma omp simd
    for (int l = 0; l < LANES; l++) lane[l] += (double)w[i + l] * x[i + l];
  }
  for (int i = whole; i < n; i++) lane[i - whole] += (double)w[i] * x[i];
  for (int l = 0; l < LANES; l++) sum += lane[l];
  return sum;
}

void rn_first_token_retain(rn_first_token s, const double *x, const rn_real *wq, const rn_real *wk,
                           const rn_real *v, rn_real *o) {
  double score = 0;
  for (int64_t d = 0; d < s.key_width; d++) {
    score += dot(s.dim, wq + d * s.dim, x) * dot(s.dim, wk + d * s.dim, x);
  }
  score /= sqrt((double)s.key_width);
  for (int e = 0; e < s.value_width; e++) o[e] = (rn_real)(score * (double)v[e]);
}
