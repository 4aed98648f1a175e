/**
 * Sums losses so that the result is bit-identical for every order of the additions and every
 * distribution of the losses over ranks.
 */
#ifndef RN_TRAINER_PARALLEL_EXACT_SUM_H
#define RN_TRAINER_PARALLEL_EXACT_SUM_H

#include <stdint.h>

/**
 * The sum is whole + fraction / 2^40; `others` counts values that are not finite or at least 2^52
 * in magnitude. Each value is rounded to a multiple of 2^-40 first, so that integer addition is
 * exact. Must be zero-initialised. To combine the sums of several ranks, add each of the three
 * integers.
 */
typedef struct rn_exact_sum {
  int64_t whole, fraction, others;
} rn_exact_sum;

/** Adds a value. */
void rn_exact_sum_add(rn_exact_sum *sum, double value);

/** Returns the sum; NaN if `others` > 0. */
double rn_exact_sum_value(const rn_exact_sum *sum);

#endif
