/** A chart of curves over the steps: inline SVG that fits any width, with its data for the script.
 */
#ifndef RN_TRAINER_REPORT_CHART_H
#define RN_TRAINER_REPORT_CHART_H

#include <stdbool.h>
#include <stdio.h>

#include "trainer/report/series.h"

/** Number of colours; later runs use them again. */
enum { RN_RUN_COLOURS = 8 };

/** How a curve is drawn: values as they are; a running mean above thin values; values as dots. */
typedef enum { RN_CURVE_PLAIN, RN_CURVE_SMOOTHED, RN_CURVE_DOTS } rn_curve_style;

/** One curve; `run` is the index of its run, which decides its colour. */
typedef struct rn_curve {
  const rn_series *series;
  const char *label; /* what the values are: "train" */
  int run;
  rn_curve_style style;
} rn_curve;

typedef struct rn_chart {
  const char *id; /* letters, digits, dashes */
  const char *title, *note;
  const rn_curve *curve; /* [count] */
  int count;
  bool from_zero; /* the axis of values begins at 0 */
  bool log;       /* it is logarithmic, if all values are positive and differ enough */
} rn_chart;

/** Writes the chart; nothing if no curve has a value. Errors: RN_ERR_MEMORY. */
rn_status rn_chart_write(rn_err *err, const rn_chart *chart, FILE *file);

#endif
