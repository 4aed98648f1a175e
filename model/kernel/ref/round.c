/* Rounding to bf16: the upper half of a float, to nearest, ties to even; NaN stays NaN. */
#include <string.h>

#include "model/kernel/ref/set.h"

static void round_bf16(int64_t n, const rn_real *x, uint16_t *y) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) {
    const float value = (float)x[i];
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t nearest = bits + 0x7fff + (bits >> 16 & 1);
    y[i] = (uint16_t)((value == value ? nearest : bits | 0x400000) >> 16);
  }
}

void RN_SET(rn_enter_round)(rn_kernels *table) {
  table->round_bf16 = round_bf16;
}
