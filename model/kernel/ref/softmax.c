/* Computes the softmax and the cross-entropy of one row of logits. */
#include <assert.h>
#include <math.h>

#include "model/kernel/exp.h"
#include "model/kernel/ref/lanes.h"
#include "model/kernel/ref/set.h"

/* Number of terms that are added in rn_real before their sum is added to a sum in double. */
enum { SUM_SLICE = 512 };

/* Replaces x by exp(x - max(x)); returns the sum of the results, and sets *largest to max(x). */
static double exponentials(int n, rn_real *x, rn_real *largest) {
  rn_real top = rn_row_largest(n, x);
  double total = 0;
  for (int from = 0; from < n; from += SUM_SLICE) {
    const int count = n - from < SUM_SLICE ? n - from : SUM_SLICE;
    rn_real *slice = x + from;
#pragma omp simd
    for (int i = 0; i < count; i++) slice[i] = rn_exp(slice[i] - top);
    total += rn_row_sum(count, slice);
  }
  *largest = top;
  return total;
}

/* Returns the loss. If `gradient`, replaces logits by scale * (softmax - one_hot(target)). */
static double cross_entropy(int n, rn_real *logits, int32_t target, bool gradient, double scale) {
  assert(target >= 0 && target < n);
  rn_real wanted = logits[target], largest;
  double sum = exponentials(n, logits, &largest);
  if (gradient) {
    rn_real factor = (rn_real)(scale / sum);
#pragma omp simd
    for (int i = 0; i < n; i++) logits[i] *= factor;
    logits[target] -= (rn_real)scale;
  }
  return log(sum) - ((double)wanted - (double)largest);
}

void RN_SET(rn_enter_softmax)(rn_kernels *table) {
  table->cross_entropy = cross_entropy;
}
