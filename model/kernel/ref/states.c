/* Decays and adds states, element by element. */
#include <string.h>

#include "model/kernel/ref/set.h"

static void decay_and_add(rn_real decay, int64_t n, const rn_real *x, rn_real *sum) {
  if (decay == 0) {
    memcpy(sum, x, (size_t)n * sizeof *sum);
    return;
  }
#pragma omp simd
  for (int64_t i = 0; i < n; i++) sum[i] = decay * sum[i] + x[i];
}

void RN_SET(rn_enter_states)(rn_kernels *table) {
  table->decay_and_add = decay_and_add;
}
