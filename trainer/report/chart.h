/** Writes a chart of curves over the steps: inline SVG that fits any width, and the same data as
 * JSON for page_script.js. */
#ifndef RN_TRAINER_REPORT_CHART_H
#define RN_TRAINER_REPORT_CHART_H

#include <stdbool.h>
#include <stdio.h>

#include "trainer/report/series.h"

/** Number of colours. If there are more runs, colours are reused. */
enum { RN_RUN_COLOURS = 8 };

/** Style of a curve: a line through the values; a running mean over a thin line through the values;
 * a dot at each value, on a dashed line. */
typedef enum { RN_CURVE_PLAIN, RN_CURVE_SMOOTHED, RN_CURVE_DOTS } rn_curve_style;

/** One curve. `run` is the index of the curve's run, which determines the colour. */
typedef struct rn_curve {
  const rn_series *series;
  const char *label; /* name of the values, for example "train" */
  int run;
  rn_curve_style style;
} rn_curve;

typedef struct rn_chart {
  const char *id; /* consists of letters, digits and dashes */
  const char *title, *note;
  const rn_curve *curve; /* [count] */
  int count;
  bool from_zero; /* the y axis begins at 0 */
  bool log;       /* the y axis is logarithmic if all values are positive and differ enough */
} rn_chart;

/** Writes the chart, or nothing if no curve has a value. Errors: RN_ERR_MEMORY. */
rn_status rn_chart_write(rn_err *err, const rn_chart *chart, FILE *file);

#endif
