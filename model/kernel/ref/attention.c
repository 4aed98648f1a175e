/* Computes the softmax of attention for one query and the keys of one block. */
#include <math.h>

#include "model/kernel/exp.h"
#include "model/kernel/ref/lanes.h"
#include "model/kernel/ref/set.h"

static rn_real softmax_add(int n, rn_real *s, rn_real *top, rn_real *sum) {
  const rn_real before = *top, largest = rn_row_largest(n, s);
  const rn_real after = largest > before ? largest : before;
  const rn_real fade = before == -(rn_real)INFINITY ? 0 : rn_exp(before - after);
#pragma omp simd
  for (int i = 0; i < n; i++) s[i] = rn_exp(s[i] - after);
  *sum = *sum * fade + (rn_real)rn_row_sum(n, s);
  *top = after;
  return fade;
}

static void softmax_backward(int n, rn_real lse, rn_real delta, rn_real *s, rn_real *dp) {
#pragma omp simd
  for (int i = 0; i < n; i++) {
    s[i] = rn_exp(s[i] - lse);
    dp[i] = s[i] * (dp[i] - delta);
  }
}

void RN_SET(rn_enter_attention)(rn_kernels *table) {
  table->softmax_add = softmax_add;
  table->softmax_backward = softmax_backward;
}
