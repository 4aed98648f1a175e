/** Stores values by step, as read from metrics.jsonl. */
#ifndef RN_TRAINER_REPORT_SERIES_H
#define RN_TRAINER_REPORT_SERIES_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

/** One value of a step. */
typedef struct rn_point {
  int64_t step;
  double value;
} rn_point;

/** The values of one metric, in ascending order of their steps. Zero-initialise. */
typedef struct rn_series {
  char *name;
  rn_point *point; /* [count] */
  size_t count, capacity;
} rn_series;

/** Appends a point, after removing the points of the same step and of later steps. Errors:
 * RN_ERR_MEMORY. */
rn_status rn_series_add(rn_err *err, rn_series *series, rn_point point);

/** Removes the points from `step` on. */
void rn_series_cut(rn_series *series, int64_t step);

/** Frees name and points. */
void rn_series_free(rn_series *series);

/**
 * Reduces the series to at most `max` points (an even number, 4 or more). Divides it into max / 2
 * ranges with equally many points and keeps the smallest and the largest value of each range, so
 * that no peak is lost.
 */
rn_status rn_series_reduce(rn_err *err, const rn_series *series, size_t max, rn_series *out);

/** Computes the exponential moving average with a time constant of `points` points. */
rn_status rn_series_smooth(rn_err *err, const rn_series *series, double points, rn_series *out);

/** Returns the median of the last RN_QUANTILE_MAX values, or of all if there are fewer; NaN if
 * there are none. */
double rn_series_recent(const rn_series *series);

/** Returns the value of the last point if it is that of `step`; NaN otherwise. */
double rn_series_at(const rn_series *series, int64_t step);

/** These functions return the last or smallest value; NaN if there are none. */
double rn_series_last(const rn_series *series);
double rn_series_min(const rn_series *series);

#endif
