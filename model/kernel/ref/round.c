/* Converts rn_real to bf16 and back, and rearranges bf16 numbers. */
#include "model/kernel/ref/set.h"

static void round_bf16(int64_t n, const rn_real *x, rn_bf16 *y) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = rn_bf16_of(x[i]);
}

static void widen_bf16(int64_t n, const rn_bf16 *x, rn_real *y) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) y[i] = rn_bf16_value(x[i]);
}

static void pair_bf16(int64_t n, const rn_bf16 *first, const rn_bf16 *second, rn_bf16_pair *pairs) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) pairs[i] = first[i] | (rn_bf16_pair)second[i] << 16;
}

void RN_SET(rn_enter_round)(rn_kernels *table) {
  table->round_bf16 = round_bf16;
  table->widen_bf16 = widen_bf16;
  table->pair_bf16 = pair_bf16;
}
