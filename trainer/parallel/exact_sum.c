#include "trainer/parallel/exact_sum.h"

#include <math.h>

static const double parts_of_one = 0x1p40, most = 0x1p52;

void rn_exact_sum_add(rn_exact_sum *sum, double value) {
  if (!(fabs(value) < most)) {
    sum->others++;
    return;
  }
  const double whole = floor(value);
  sum->whole += (int64_t)whole;
  sum->parts += (int64_t)rint((value - whole) * parts_of_one);
  sum->whole += sum->parts / (int64_t)parts_of_one;
  sum->parts %= (int64_t)parts_of_one;
}

double rn_exact_sum_value(const rn_exact_sum *sum) {
  if (sum->others > 0) return NAN;
  const int64_t one = (int64_t)parts_of_one;
  return (double)(sum->whole + sum->parts / one) + (double)(sum->parts % one) / parts_of_one;
}
