/* Checks that a sum of losses has the same bits in any order and grouping, with an error of at
 * most 2^-40 per value. */
#include "trainer/parallel/exact_sum.h"

#include <math.h>
#include <stdlib.h>

#include "tests/support/check.h"

enum { VALUES = 20000 };

static double value_of(int i) {
  return ldexp((double)((i * 7919) % 104729) / 3, (i * 31) % 40 - 20) * (i % 5 == 0 ? -1 : 1);
}

/* Returns the sum of values first, first + stride, ... */
static rn_exact_sum sum_of(int first, int stride) {
  rn_exact_sum sum = {0};
  for (int i = first; i < VALUES; i += stride) rn_exact_sum_add(&sum, value_of(i));
  return sum;
}

static void order_and_parts_change_nothing(void) {
  const rn_exact_sum forward = sum_of(0, 1);
  rn_exact_sum backward = {0};
  for (int i = VALUES - 1; i >= 0; i--) rn_exact_sum_add(&backward, value_of(i));
  CHECK(rn_exact_sum_value(&forward) == rn_exact_sum_value(&backward));
  for (int parts = 2; parts <= 7; parts++) {
    rn_exact_sum all = {0};
    for (int p = 0; p < parts; p++) {
      const rn_exact_sum part = sum_of(p, parts);
      all.whole += part.whole;
      all.fraction += part.fraction;
      all.others += part.others;
    }
    CHECK(rn_exact_sum_value(&all) == rn_exact_sum_value(&forward));
  }
}

static void it_is_the_sum(void) {
  double plain = 0;
  const rn_exact_sum sum = sum_of(0, 1);
  for (int i = 0; i < VALUES; i++) plain += value_of(i);
  CHECK_NEAR(rn_exact_sum_value(&sum), plain, 1e-12);
  rn_exact_sum small = {0};
  rn_exact_sum_add(&small, 2.5);
  rn_exact_sum_add(&small, 0x1p-40);
  rn_exact_sum_add(&small, -0.25);
  CHECK(rn_exact_sum_value(&small) == 2.25 + 0x1p-40);
}

static void what_is_not_finite_shows(void) {
  const double bad[] = {NAN, INFINITY, -INFINITY, 0x1p60};
  for (int i = 0; i < 4; i++) {
    rn_exact_sum sum = {0};
    rn_exact_sum_add(&sum, 1);
    rn_exact_sum_add(&sum, bad[i]);
    CHECK(isnan(rn_exact_sum_value(&sum)));
  }
}

int main(void) {
  order_and_parts_change_nothing();
  it_is_the_sum();
  what_is_not_finite_shows();
  return check_result();
}
