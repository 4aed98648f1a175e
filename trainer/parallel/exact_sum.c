#include "trainer/parallel/exact_sum.h"

#include <math.h>

static const double units_per_one = 0x1p40, limit = 0x1p52;

void rn_exact_sum_add(rn_exact_sum *sum, double value) {
  if (!(fabs(value) < limit)) {
    sum->others++;
    return;
  }
  const double whole = floor(value);
  sum->whole += (int64_t)whole;
  sum->fraction += (int64_t)rint((value - whole) * units_per_one);
  sum->whole += sum->fraction / (int64_t)units_per_one;
  sum->fraction %= (int64_t)units_per_one;
}

double rn_exact_sum_value(const rn_exact_sum *sum) {
  if (sum->others > 0) return NAN;
  const int64_t units = (int64_t)units_per_one, whole = sum->whole + sum->fraction / units;
  return (double)whole + (double)(sum->fraction % units) / units_per_one;
}
