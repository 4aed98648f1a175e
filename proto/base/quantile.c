#include "proto/base/quantile.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double rn_quantile(const double *values, int count, double share) {
  double sorted[RN_QUANTILE_MAX];
  assert(0 < count && count <= RN_QUANTILE_MAX);
  memcpy(sorted, values, (size_t)count * sizeof *values);
  qsort(sorted, (size_t)count, sizeof *sorted, compare);
  const int low = (int)floor(share * (count - 1)), high = (int)ceil(share * (count - 1));
  return (sorted[low] + sorted[high]) / 2;
}
