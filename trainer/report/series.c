#include "trainer/report/series.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "proto/base/arena.h"
#include "proto/base/quantile.h"

void rn_series_cut(rn_series *series, int64_t step) {
  while (series->count > 0 && series->point[series->count - 1].step >= step) series->count--;
}

rn_status rn_series_add(rn_err *err, rn_series *series, rn_point point) {
  rn_series_cut(series, point.step);
  RN_TRY(err, rn_grow(err, "metrics", series->count + 1, sizeof *series->point, &series->point,
                      &series->capacity));
  series->point[series->count++] = point;
  return RN_OK;
}

void rn_series_free(rn_series *series) {
  free(series->name);
  free(series->point);
  *series = (rn_series){0};
}

/* Appends the points with the smallest and largest of the `count` values, in step order. */
static rn_status add_extremes(rn_err *err, const rn_point *point, size_t count, rn_series *out) {
  size_t min = 0, max = 0;
  for (size_t i = 1; i < count; i++) {
    if (point[i].value < point[min].value) min = i;
    if (point[i].value > point[max].value) max = i;
  }
  RN_TRY(err, rn_series_add(err, out, point[min < max ? min : max]));
  return min == max ? RN_OK : rn_series_add(err, out, point[min < max ? max : min]);
}

rn_status rn_series_reduce(rn_err *err, const rn_series *series, size_t max, rn_series *out) {
  const size_t count = series->count, ranges = count <= max ? count : max / 2;
  for (size_t r = 0; r < ranges; r++) {
    const size_t begin = count * r / ranges, end = count * (r + 1) / ranges;
    RN_TRY(err, add_extremes(err, series->point + begin, end - begin, out));
  }
  return RN_OK;
}

rn_status rn_series_smooth(rn_err *err, const rn_series *series, double points, rn_series *out) {
  const double keep = exp(-1 / points);
  double sum = 0, weight = 0;
  for (size_t i = 0; i < series->count; i++) {
    sum = keep * sum + (1 - keep) * series->point[i].value;
    weight = keep * weight + (1 - keep);
    RN_TRY(err, rn_series_add(err, out, (rn_point){series->point[i].step, sum / weight}));
  }
  return RN_OK;
}

double rn_series_recent(const rn_series *series) {
  double value[RN_QUANTILE_MAX];
  const size_t count = series->count < RN_QUANTILE_MAX ? series->count : RN_QUANTILE_MAX;
  for (size_t i = 0; i < count; i++) value[i] = series->point[series->count - 1 - i].value;
  return count > 0 ? rn_median(value, (int)count) : NAN;
}

double rn_series_last(const rn_series *series) {
  return series->count > 0 ? series->point[series->count - 1].value : NAN;
}

double rn_series_at(const rn_series *series, int64_t step) {
  const bool has = series->count > 0 && series->point[series->count - 1].step == step;
  return has ? rn_series_last(series) : NAN;
}

double rn_series_min(const rn_series *series) {
  double min = NAN;
  for (size_t i = 0; i < series->count; i++) min = fmin(min, series->point[i].value);
  return min;
}
