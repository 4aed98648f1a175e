#include "trainer/optimizer/adamw.h"

#include <math.h>

#include "trainer/optimizer/block.h"

void rn_adamw_update_block(const rn_adamw *o, rn_adamw_step step, int64_t n,
                           const rn_real *gradient, rn_adamw_state state) {
  const double lr = step.lr, t = (double)step.update;
  rn_real *weight = state.weight, *exp_avg = state.exp_avg, *exp_avg_sq = state.exp_avg_sq;
  const double bias1 = 1 - pow(o->beta1, t), root2 = sqrt(1 - pow(o->beta2, t));
  const bool torch = o->eps_mode == RN_EPS_TORCH;
  const rn_real clip = (rn_real)step.clip;
  const rn_real keep = (rn_real)(step.decay ? 1 - lr * o->weight_decay : 1.0);
  const rn_real beta1 = (rn_real)o->beta1, rest1 = (rn_real)(1 - o->beta1);
  const rn_real beta2 = (rn_real)o->beta2, rest2 = (rn_real)(1 - o->beta2);
  const rn_real rate = (rn_real)(torch ? lr / bias1 : lr * root2 / bias1);
  const rn_real root_scale = (rn_real)(torch ? 1 / root2 : 1.0), eps = (rn_real)o->eps;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    rn_real g = clip * gradient[i];
    rn_real m = beta1 * exp_avg[i] + rest1 * g;
    rn_real v = beta2 * exp_avg_sq[i] + rest2 * g * g;
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    weight[i] = keep * weight[i] - rate * m /
                                       ((sizeof v == sizeof(float) ? (rn_real)sqrtf((float)v)
                                                                   : (rn_real)sqrt((double)v)) *
                                            root_scale +
                                        eps);
  }
}

void rn_adamw_update(const rn_adamw *o, rn_adamw_step step, int64_t n, const rn_real *gradient,
                     rn_adamw_state state) {
#pragma omp parallel for schedule(static)
  for (int64_t at = 0; at < n; at += RN_BLOCK) {
    const rn_adamw_state block = {state.weight + at, state.exp_avg + at, state.exp_avg_sq + at};
    rn_adamw_update_block(o, step, n - at < RN_BLOCK ? n - at : RN_BLOCK, gradient + at, block);
  }
}

/*
 * Computes one partial sum per lane; adds the partial sums in lane order at the end.
 */
double rn_sum_of_squares_block(int64_t n, const rn_real *x) {
  enum { LANES = 32 };
  double lane[LANES] = {0}, sum = 0;
  const int64_t whole = n - n % LANES;
  for (int64_t i = 0; i < whole; i += LANES) {
#pragma omp simd
    for (int l = 0; l < LANES; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
  }
  for (int64_t i = whole; i < n; i++) lane[i - whole] += (double)x[i] * (double)x[i];
  for (int l = 0; l < LANES; l++) sum += lane[l];
  return sum;
}

double rn_sum_of_squares(int64_t n, const rn_real *x) {
  const int64_t blocks = (n + RN_BLOCK - 1) / RN_BLOCK;
  double total = 0;
#pragma omp parallel for ordered schedule(static, 1)
  for (int64_t b = 0; b < blocks; b++) {
    const int64_t count = n - b * RN_BLOCK < RN_BLOCK ? n - b * RN_BLOCK : RN_BLOCK;
    const double sum = rn_sum_of_squares_block(count, x + b * RN_BLOCK);
#pragma omp ordered
    total += sum;
  }
  return total;
}

double rn_clip_coefficient(double norm, double clip) {
  return clip > 0 ? fmin(1.0, clip / (norm + 1e-6)) : 1.0;
}
