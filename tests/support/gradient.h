/**
 * Checks gradients against finite differences. The tolerance is tight in double and loose in float.
 */
#ifndef RN_TESTS_SUPPORT_GRADIENT_H
#define RN_TESTS_SUPPORT_GRADIENT_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/base/random.h"
#include "proto/base/real.h"
#include "tests/support/check.h"

#ifdef RN_REAL_F64
static const double test_step = 1e-4, test_gradient_tolerance = 1e-8, test_tolerance = 1e-12;
#else
static const double test_step = 1.0 / 64, test_gradient_tolerance = 4e-3, test_tolerance = 2e-6;
#endif

/* Sanitizers check memory accesses, not numbers; with them only every seventh element is
 * compared with its finite difference, to save time. */
#if defined(__SANITIZE_ADDRESS__)
enum { TEST_SLOPE_STRIDE = 7 };
#else
enum { TEST_SLOPE_STRIDE = 1 };
#endif

/** Fills x [n] with normal random numbers times `spread`; they depend only on `seed`. */
static inline void test_fill(rn_real *x, int64_t n, double spread, uint64_t seed) {
  rn_random_key key = rn_random_key_named(RN_RANDOM_TEST, seed, "values");
  for (int64_t i = 0; i < n; i++) x[i] = (rn_real)(spread * rn_random_normal(key, (uint64_t)i));
}

/** Returns the sum of a[i] * b[i], computed in double. As a loss of `a`, this sum has the gradient
 * `b`. */
static inline double test_dot(const rn_real *a, const rn_real *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
  return sum;
}

/**
 * Returns (loss(x + step) - loss(x - step)) / distance. Both points are rounded to rn_real;
 * `distance` is that between the rounded points.
 */
static inline double test_secant(double (*loss)(void *context), void *context, rn_real *x,
                                 double step) {
  rn_real kept = *x;
  *x = (rn_real)((double)kept + step);
  double up = (double)*x, high = loss(context);
  *x = (rn_real)((double)kept - step);
  double down = (double)*x, low = loss(context);
  *x = kept;
  return (high - low) / (up - down);
}

/**
 * Fails unless `gradient` [n] is the gradient of loss(context) with respect to x [n]. Compares
 * elements i = 0, TEST_SLOPE_STRIDE, ... with finite differences: the L2 norm of the difference
 * must be small relative to that of `gradient`. Each finite difference is extrapolated from two
 * secants, so that its error is O(step^4).
 */
static inline void test_gradient(const char *what, double (*loss)(void *context), void *context,
                                 rn_real *x, int64_t n, const rn_real *gradient) {
  double error = 0, size = 0;
  for (int64_t i = 0; i < n; i += TEST_SLOPE_STRIDE) {
    double narrow = test_secant(loss, context, &x[i], test_step);
    double wide = test_secant(loss, context, &x[i], 2 * test_step);
    double slope = (4 * narrow - wide) / 3;
    error += (slope - (double)gradient[i]) * (slope - (double)gradient[i]);
  }
  for (int64_t i = 0; i < n; i++) size += (double)gradient[i] * (double)gradient[i];
  bool holds = size > 0 && sqrt(error) <= test_gradient_tolerance * sqrt(size);
  if (!CHECK(holds)) {
    fprintf(stderr, "  %s: off by %g of %g\n", what, sqrt(error), sqrt(size));
  }
}

#endif
