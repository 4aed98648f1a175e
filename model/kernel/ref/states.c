/* Sums of states, element by element. */
#include <string.h>

#include "model/kernel/ref/set.h"

static void fade_and_add(rn_real fading, int64_t n, const rn_real *part, rn_real *sum) {
  if (fading == 0) {
    memcpy(sum, part, (size_t)n * sizeof *sum);
    return;
  }
#pragma omp simd
  for (int64_t i = 0; i < n; i++) sum[i] = fading * sum[i] + part[i];
}

void RN_SET(rn_enter_states)(rn_kernels *table) {
  table->fade_and_add = fade_and_add;
}
