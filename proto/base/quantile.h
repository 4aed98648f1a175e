/** Computes quantiles of a few measurements. */
#ifndef RN_PROTO_BASE_QUANTILE_H
#define RN_PROTO_BASE_QUANTILE_H

enum { RN_QUANTILE_MAX = 100 };

/** Returns the `share` quantile of values [count] (0.5: the median, 0.9: the 90th percentile). If
 * it falls between two values, returns their mean. 1 <= count <= RN_QUANTILE_MAX. */
double rn_quantile(const double *values, int count, double share);

/** Returns the median; 1 <= count <= RN_QUANTILE_MAX. */
static inline double rn_median(const double *values, int count) {
  return rn_quantile(values, count, 0.5);
}

#endif
