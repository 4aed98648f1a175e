#include "trainer/report/page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "trainer/report/chart.h"
#include "trainer/report/html.h"
#include "trainer/report/page_assets.h"
#include "trainer/report/page_tables.h"

/* ---- frame ---- */

static void put_head(FILE *file, const rn_run_record *runs, int count) {
  fputs(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; "
      "form-action 'none'\">\n<title>",
      file);
  rn_html_text(file, runs[0].path);
  if (count > 1) fprintf(file, " and %d more", count - 1);
  fprintf(file, " - retnet-report</title>\n<style>\n%s</style>\n</head>\n<body>\n", rn_page_style);
}

static void put_legend(FILE *file, const rn_run_record *runs, int count) {
  fputs("<header><h1>retnet-report</h1>\n<div class=\"legend\">", file);
  for (int i = 0; i < count; i++) {
    fprintf(file, "<button type=\"button\" class=\"r%d\" data-run=\"%d\" aria-pressed=\"true\">",
            i % RN_RUN_COLOURS, i);
    fputs("<i></i><bdi>", file);
    rn_html_text(file, runs[i].path);
    fputs("</bdi></button>", file);
  }
  fputs("</div></header>\n<main>\n", file);
}

/* ---- remarks on missing or unreadable data ---- */

static void put_remark(FILE *file, const rn_run_record *run, const char *text) {
  fputs("<li><bdi>", file);
  rn_html_text(file, run->path);
  fputs("</bdi>: ", file);
  rn_html_text(file, text);
  fputs("</li>", file);
}

/* Writes that the run was rolled back before the step of `line`, from the step that is its value.
 * The line also stands for earlier rollbacks whose lines it has replaced. */
static void put_rollback(FILE *file, const rn_run_record *run, rn_point line) {
  char text[128], times[48] = "";
  const int64_t rollbacks =
      rn_run_record_rollbacks(run, line.step + 1) - rn_run_record_rollbacks(run, line.step);
  if (rollbacks > 1)
    snprintf(times, sizeof times, " %lld times, the last time", (long long)rollbacks);
  snprintf(text, sizeof text, "rolled back%s from step %.0f; the next recorded step is %lld", times,
           line.value, (long long)line.step);
  put_remark(file, run, text);
}

/* Lists the first skipped steps and rollbacks. */
static void put_disturbances(FILE *file, const rn_run_record *run) {
  enum { SHOWN = 10 };
  const rn_series *skipped = &run->skipped;
  const rn_series *rollbacks = rn_run_record_series(run, "rolled_back_from");
  char text[64 + SHOWN * 24];
  int used = snprintf(text, sizeof text, "steps skipped, and left out of the loss curve:");
  for (size_t i = 0; i < skipped->count && i < SHOWN; i++) {
    used += snprintf(text + used, sizeof text - (size_t)used, "%s %lld", i > 0 ? "," : "",
                     (long long)skipped->point[i].step);
  }
  if (skipped->count > SHOWN) snprintf(text + used, sizeof text - (size_t)used, ", ...");
  if (skipped->count > 0) put_remark(file, run, text);
  for (size_t i = 0; i < rollbacks->count && i < SHOWN; i++) {
    put_rollback(file, run, rollbacks->point[i]);
  }
}

static void put_remarks_of(FILE *file, const rn_run_record *run) {
  char text[160];
  if (run->lines == 0) put_remark(file, run, "metrics.jsonl has no step yet");
  if (run->strange > 0) {
    snprintf(text, sizeof text, "%lld lines of metrics.jsonl have no step and are ignored",
             (long long)run->strange);
    put_remark(file, run, text);
  }
  if (run->summary == NULL) {
    put_remark(file, run,
               run->summary_fault != NULL ? run->summary_fault
                                          : "no summary.json: the run has not ended normally yet");
  }
  if (run->config.fault != NULL) put_remark(file, run, run->config.fault);
  put_disturbances(file, run);
}

static void put_remarks(FILE *file, const rn_run_record *runs, int count) {
  fputs("<ul class=\"remarks\">", file);
  for (int i = 0; i < count; i++) put_remarks_of(file, &runs[i]);
  fputs("</ul>\n", file);
}

/* ---- charts ---- */

/* The curves of a chart. `curve` has room for all series of all runs. */
typedef struct curves {
  rn_curve *curve;
  int count;
} curves;

static void add_curve(curves *c, const rn_series *series, const char *label, int run,
                      rn_curve_style style) {
  c->curve[c->count++] = (rn_curve){series, label, run, style};
}

static rn_status put_loss(rn_err *err, FILE *file, const rn_run_record *runs, int count,
                          curves *c) {
  static const char val[] = "val_loss";
  c->count = 0;
  for (int r = 0; r < count; r++) {
    add_curve(c, rn_run_record_series(&runs[r], "loss"), "train", r, RN_CURVE_SMOOTHED);
    for (int s = 0; s < runs[r].series_count; s++) {
      const rn_series *series = &runs[r].series[s];
      if (strncmp(series->name, val, sizeof val - 1) != 0) continue;
      add_curve(c, series, series->name, r, RN_CURVE_DOTS);
    }
  }
  const rn_chart chart = {
      .id = "loss",
      .title = "Loss",
      .note = "nats per token; thin: every step, thick: its running mean, dots: validation",
      .curve = c->curve,
      .count = c->count};
  return rn_chart_write(err, &chart, file);
}

/* A chart of one metric of all runs. */
typedef struct single {
  const char *name, *id, *title, *note;
  rn_curve_style style;
  bool from_zero, log;
} single;

static rn_status put_single(rn_err *err, FILE *file, const rn_run_record *runs, int count,
                            const single *what, curves *c) {
  c->count = 0;
  for (int r = 0; r < count; r++) {
    add_curve(c, rn_run_record_series(&runs[r], what->name), what->name, r, what->style);
  }
  const rn_chart chart = {what->id, what->title,     what->note, c->curve,
                          c->count, what->from_zero, what->log};
  return rn_chart_write(err, &chart, file);
}

static rn_status put_charts(rn_err *err, FILE *file, const rn_run_record *runs, int count) {
  static const single singles[] = {
      {"lr", "lr", "Learning rate", "of each update", RN_CURVE_PLAIN, true, false},
      {"grad_norm", "grad-norm", "Gradient norm", "before clipping", RN_CURVE_SMOOTHED, false,
       true},
      {"tokens_per_s", "throughput", "Throughput",
       "tokens per second, without evaluations and saves", RN_CURVE_SMOOTHED, true, false},
      {"scan_wait_s", "scan-wait", "Waiting for states",
       "seconds per step that a rank waits for the state of the previous rank, mean over ranks",
       RN_CURVE_SMOOTHED, true, false}};
  curves c = {NULL, 0};
  RN_TRY(err, rn_alloc(err, "the curves of a chart", (size_t)count * (RN_RECORD_MAX_SERIES + 1),
                       sizeof *c.curve, &c.curve));
  fputs("<section class=\"charts\" aria-label=\"Charts\">\n", file);
  rn_status status = put_loss(err, file, runs, count, &c);
  for (size_t i = 0; status == RN_OK && i < sizeof singles / sizeof *singles; i++) {
    status = put_single(err, file, runs, count, &singles[i], &c);
  }
  free(c.curve);
  rn_page_memory(file, runs, count);
  fputs("</section>\n", file);
  return status;
}

rn_status rn_page_write(rn_err *err, const rn_run_record *runs, int count, FILE *file) {
  put_head(file, runs, count);
  put_legend(file, runs, count);
  put_remarks(file, runs, count);
  RN_TRY(err, put_charts(err, file, runs, count));
  rn_page_figures(file, runs, count);
  rn_page_config(file, runs, count);
  fprintf(file, "</main>\n<script>\n%s</script>\n</body>\n</html>\n", rn_page_script);
  return RN_OK;
}
