/** A sum of losses whose bits do not depend on the order of adding, nor on who adds what. */
#ifndef RN_TRAINER_PARALLEL_EXACT_SUM_H
#define RN_TRAINER_PARALLEL_EXACT_SUM_H

#include <stdint.h>

/**
 * whole + parts / 2^40, and how many values were not finite (or 2^52 and more). Each value is
 * rounded to a multiple of 2^-40 before it is added, which integers do exactly. Zero-initialise it.
 * Sums of several ranks add up element by element, as 3 integers.
 */
typedef struct rn_exact_sum {
  int64_t whole, parts, others;
} rn_exact_sum;

void rn_exact_sum_add(rn_exact_sum *sum, double value);

/** The sum; NaN if a value was not finite. */
double rn_exact_sum_value(const rn_exact_sum *sum);

#endif
