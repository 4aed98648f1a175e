/** Defines operands, sizes and tolerances for tests that compare matrix products with a formula. */
#ifndef RN_TESTS_SUPPORT_PRODUCTS_H
#define RN_TESTS_SUPPORT_PRODUCTS_H

#include "model/kernel/gemm.h"
#include "tests/support/gradient.h"

/**
 * Returns the padding of a row in test i: the number of elements, at most `largest`, by which the
 * row stride exceeds the row length.
 */
static inline int test_pad(uint64_t i, int largest) {
  const int pads[] = {0, 0, 1, 8, largest};
  return pads[i % 5];
}

/**
 * Distribution of random sizes: with probability `share` one of `common`, else uniform in 1..max.
 */
typedef struct test_sizes {
  const int *common; /* [count] */
  int count, max;
  double share;
} test_sizes;

static inline int test_draw_size(const test_sizes *sizes, rn_random_key key, uint64_t at) {
  const double u = rn_random_uniform(key, 2 * at), v = rn_random_uniform(key, 2 * at + 1);
  return u < sizes->share ? sizes->common[(int)(v * sizes->count)] : 1 + (int)(v * sizes->max);
}

/**
 * Fills x [n] with random numbers that bf16 represents exactly, and x16 [n] with the same numbers.
 */
static inline void test_fill_both(rn_real *x, rn_bf16 *x16, int64_t n, uint64_t seed) {
  test_fill(x, n, 1, seed);
  for (int64_t i = 0; i < n; i++) x[i] = rn_bf16_value(x16[i] = rn_bf16_of(x[i]));
}

/**
 * Returns the error allowed in an element of a product, relative to the sum of the magnitudes of
 * the element's terms.
 */
static inline double test_product_tolerance(bool is_bf16) {
  if (is_bf16) return 1.0 / 128;
  return sizeof(rn_real) == sizeof(float) ? 1e-6 : 1e-14;
}

#endif
