/** Medians of a handful of measurements. */
#ifndef RN_TRAINER_BENCH_QUANTILE_H
#define RN_TRAINER_BENCH_QUANTILE_H

enum { RN_BENCH_MOST = 100 };

/** The value that a share of the others is below, 0.5 giving the median; count at most
 * RN_BENCH_MOST. */
double rn_bench_quantile(const double *values, int count, double share);

static inline double rn_bench_median(const double *values, int count) {
  return rn_bench_quantile(values, count, 0.5);
}

#endif
