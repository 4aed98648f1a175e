#include "trainer/report/chart.h"

#include <math.h>
#include <string.h>

#include "trainer/report/html.h"

/* Size of the drawing in SVG coordinates. The page scales the drawing to the available space;
 * labels are separate HTML elements, so that they are not scaled. */
enum { WIDTH = 1000, HEIGHT = 400, MAX_POINTS = 800, MAX_TICKS = 12, SMOOTHED_POINTS = 60 };

/* An axis from `low` to `high`. If `log`, these are base-10 logarithms. */
typedef struct axis {
  double low, high;
  bool log;
} axis;

static double on_axis(const axis *a, double value) {
  const double at = a->log ? log10(value) : value;
  return (at - a->low) / (a->high - a->low);
}

typedef struct axes {
  axis x, y;
} axes;

/* ---- axes ---- */

/* Returns the step that gives about `ticks` ticks: 1, 2 or 5 times a power of ten. */
static double tick_step(double range, int ticks) {
  const double rough = range / ticks, power = pow(10, floor(log10(rough)));
  const double digit = rough / power;
  return power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
}

/* Adds a tick if its value is on the axis and the array is not full. */
static void add_tick(const axis *a, double value, double tick[MAX_TICKS], int *count) {
  const double at = on_axis(a, value);
  if (at > -1e-9 && at < 1 + 1e-9 && *count < MAX_TICKS) tick[(*count)++] = value;
}

/* Finds the ticks of a logarithmic axis: powers of ten and, on a short axis, 2 and 5 times
 * these. */
static int find_log_ticks(const axis *a, double tick[MAX_TICKS]) {
  const double range = a->high - a->low, step = fmax(1, ceil(range / (MAX_TICKS - 2)));
  int count = 0;
  for (int i = 0; floor(a->low) + i * step <= a->high; i++) {
    const double power = pow(10, floor(a->low) + i * step);
    add_tick(a, power, tick, &count);
    if (range > 3) continue;
    add_tick(a, 2 * power, tick, &count);
    add_tick(a, 5 * power, tick, &count);
  }
  return count;
}

/* Finds the values of the ticks of an axis; returns their number. */
static int find_ticks(const axis *a, double tick[MAX_TICKS]) {
  if (a->log) return find_log_ticks(a, tick);
  const double step = tick_step(a->high - a->low, 5), first = ceil(a->low / step - 1e-9);
  int count = 0;
  for (; count < MAX_TICKS; count++) {
    const double at = (first + count) * step;
    if (!(at <= a->high + 1e-9 * step)) break;
    tick[count] = fabs(at) < 1e-9 * step ? 0 : at;
  }
  return count;
}

static void widen(axis *a) {
  if (a->high > a->low) return;
  const double by = a->low != 0 ? 0.05 * fabs(a->low) : 1;
  a->low -= by;
  a->high += by;
}

/* Computes the axes that contain all finite values; returns false if there are none. */
static bool find_axes(const rn_chart *chart, axes *a) {
  axis *x = &a->x, *y = &a->y;
  bool any = false, positive = true;
  *x = *y = (axis){INFINITY, -INFINITY, false};
  for (int c = 0; c < chart->count; c++) {
    const rn_series *s = chart->curve[c].series;
    for (size_t i = 0; i < s->count; i++) {
      const double value = s->point[i].value, step = (double)s->point[i].step;
      any = true;
      positive = positive && value > 0;
      *x = (axis){fmin(x->low, step), fmax(x->high, step), false};
      *y = (axis){fmin(y->low, value), fmax(y->high, value), false};
    }
  }
  if (!any) return false;
  if (chart->from_zero) y->low = fmin(y->low, 0);
  if (chart->log && positive && y->high > 3 * y->low)
    *y = (axis){log10(y->low), log10(y->high), true};
  widen(x);
  widen(y);
  const double margin = 0.04 * (y->high - y->low);
  y->high += margin;
  if (!chart->from_zero) y->low -= margin;
  return true;
}

static void put_grid(FILE *file, const axes *a) {
  double tick[MAX_TICKS];
  int count = find_ticks(&a->y, tick);
  for (int i = 0; i < count; i++) {
    const double at = HEIGHT * (1 - on_axis(&a->y, tick[i]));
    fprintf(file, "<path class=\"grid\" d=\"M0 %.1fH%d\"/>", at, WIDTH);
  }
  count = find_ticks(&a->x, tick);
  for (int i = 0; i < count; i++) {
    fprintf(file, "<path class=\"grid\" d=\"M%.1f 0V%d\"/>", WIDTH * on_axis(&a->x, tick[i]),
            HEIGHT);
  }
}

static void put_tick(FILE *file, const char *class, const char *side, double at, double value) {
  fprintf(file, "<span class=\"%s\" style=\"%s:%.2f%%\">", class, side, 100 * at);
  rn_html_value(file, value);
  fprintf(file, "</span>");
}

static void put_tick_texts(FILE *file, const axes *a) {
  double tick[MAX_TICKS];
  int count = find_ticks(&a->y, tick);
  for (int i = 0; i < count; i++) put_tick(file, "y", "top", 1 - on_axis(&a->y, tick[i]), tick[i]);
  count = find_ticks(&a->x, tick);
  for (int i = 0; i < count; i++) put_tick(file, "x", "left", on_axis(&a->x, tick[i]), tick[i]);
}

/* ---- curves ---- */

/* Writes a path through the points or, if `dots`, a dot at each point. */
static void put_path(FILE *file, const rn_series *s, const axes *a, bool dots) {
  for (size_t i = 0; i < s->count; i++) {
    const char *move = i == 0 || dots ? "M" : i == 1 ? "L" : " ";
    const double x = WIDTH * on_axis(&a->x, (double)s->point[i].step);
    const double y = HEIGHT * (1 - on_axis(&a->y, s->point[i].value));
    fprintf(file, "%s%.1f %.1f%s", move, x, y, dots ? "h0" : "");
  }
}

/* Writes the series as a path element of CSS class `class`. */
static rn_status put_line(rn_err *err, FILE *file, const rn_series *series, const char *class,
                          int run, const axes *a) {
  rn_series drawn = {0};
  const rn_status status = rn_series_reduce(err, series, MAX_POINTS, &drawn);
  fprintf(file, "<path class=\"%s r%d\" data-run=\"%d\" d=\"", class, run % RN_RUN_COLOURS, run);
  put_path(file, &drawn, a, strcmp(class, "dots") == 0);
  fprintf(file, "\"/>");
  rn_series_free(&drawn);
  return status;
}

static rn_status put_curve(rn_err *err, FILE *file, const rn_curve *curve, const axes *a) {
  const rn_series *s = curve->series;
  const int run = curve->run;
  if (s->count == 0) return RN_OK;
  if (curve->style == RN_CURVE_DOTS) {
    RN_TRY(err, put_line(err, file, s, "dashed", run, a));
    return put_line(err, file, s, "dots", run, a);
  }
  if (curve->style == RN_CURVE_PLAIN || s->count <= SMOOTHED_POINTS) {
    return put_line(err, file, s, "line", run, a);
  }
  RN_TRY(err, put_line(err, file, s, "thin", run, a));
  rn_series mean = {0};
  rn_status status = rn_series_smooth(err, s, (double)s->count / 50, &mean);
  if (status == RN_OK) status = put_line(err, file, &mean, "line", run, a);
  rn_series_free(&mean);
  return status;
}

/* ---- data for page_script.js ---- */

static rn_status put_data(rn_err *err, FILE *file, const rn_chart *chart, const axes *a) {
  fprintf(file,
          "<script type=\"application/json\">{\"x\":[%.9g,%.9g],\"y\":[%.9g,%.9g],\"log\":%s,",
          a->x.low, a->x.high, a->y.low, a->y.high, a->y.log ? "true" : "false");
  fprintf(file, "\"curves\":[");
  for (int c = 0; c < chart->count; c++) {
    rn_series drawn = {0};
    const rn_status status = rn_series_reduce(err, chart->curve[c].series, MAX_POINTS, &drawn);
    fprintf(file, "%s{\"run\":%d,\"label\":", c > 0 ? "," : "", chart->curve[c].run);
    rn_html_json_string(file, chart->curve[c].label);
    fprintf(file, ",\"points\":[");
    for (size_t i = 0; i < drawn.count; i++) {
      fprintf(file, "%s[%lld,%.6g]", i > 0 ? "," : "", (long long)drawn.point[i].step,
              drawn.point[i].value);
    }
    fprintf(file, "]}");
    rn_series_free(&drawn);
    RN_TRY(err, status);
  }
  fprintf(file, "]}</script>");
  return RN_OK;
}

rn_status rn_chart_write(rn_err *err, const rn_chart *chart, FILE *file) {
  axes a;
  if (!find_axes(chart, &a)) return RN_OK;
  fprintf(file, "<figure class=\"chart\" id=\"%s\"><figcaption><h3>%s</h3><p>%s</p></figcaption>",
          chart->id, chart->title, chart->note);
  fprintf(file, "<div class=\"plot\">");
  put_tick_texts(file, &a);
  fprintf(file,
          "<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" "
          "aria-label=\"%s by step\">",
          WIDTH, HEIGHT, chart->title);
  put_grid(file, &a);
  for (int c = 0; c < chart->count; c++) {
    RN_TRY(err, put_curve(err, file, &chart->curve[c], &a));
  }
  fprintf(file, "</svg><div class=\"cursor\" hidden></div><output hidden></output></div>");
  RN_TRY(err, put_data(err, file, chart, &a));
  fprintf(file, "</figure>\n");
  return RN_OK;
}
