/** Medians of a handful of measurements. */
#ifndef RN_TRAINER_MACHINE_QUANTILE_H
#define RN_TRAINER_MACHINE_QUANTILE_H

enum { RN_QUANTILE_MAX = 100 };

/** The value that a share of the others is below, 0.5 giving the median; count at most
 * RN_QUANTILE_MAX. */
double rn_quantile(const double *values, int count, double share);

static inline double rn_median(const double *values, int count) {
  return rn_quantile(values, count, 0.5);
}

#endif
