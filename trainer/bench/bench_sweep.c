#include "trainer/bench/bench_sweep.h"

/* Each thread reads consecutive cache lines, one per iteration: hardware prefetching is less
 * effective if a thread reads several streams. */
void rn_sweep_read(int64_t n, const float *x, float *out) {
  float sum[RN_SWEEP_LANES] = {0};
#pragma omp parallel for schedule(static) reduction(+ : sum)
  for (int64_t i = 0; i < n; i += RN_SWEEP_LANES) {
#pragma omp simd
    for (int l = 0; l < RN_SWEEP_LANES; l++) sum[l] += x[i + l];
  }
  for (int l = 0; l < RN_SWEEP_LANES; l++) out[l] = sum[l];
}

void rn_sweep_scale_and_add(int64_t n, const float *x, float *y) {
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < n; i++) y[i] = 0.5f * y[i] + x[i];
}

void rn_sweep_triad(int64_t n, const float *x, const float *y, float *z) {
#pragma omp parallel for simd schedule(static)
  for (int64_t i = 0; i < n; i++) z[i] = x[i] + 0.5f * y[i];
}
