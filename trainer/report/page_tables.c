#include "trainer/report/page_tables.h"

#include <math.h>
#include <string.h>

#include "trainer/report/chart.h"
#include "trainer/report/html.h"

/* ---- figures ---- */

/* The source of the values of a row: a member of summary.json (NUMBER, TEXT, BYTES, DURATION), a
 * series (LAST: its last value; FINAL: its value at the last step; MIN, RECENT) or the
 * configuration (CONFIG). */
typedef enum {
  GROUP, /* a heading, without values */
  NUMBER,
  TEXT,
  BYTES,
  DURATION,
  LAST,
  FINAL,
  MIN,
  RECENT,
  CONFIG
} row_kind;

typedef struct row {
  row_kind kind;
  const char *label, *key;
} row;

static const row rows[] = {
    {GROUP, "Result", NULL},
    {LAST, "tokens", "tokens"},
    {CONFIG, "requested steps", "train.steps"},
    {FINAL, "loss of the last step", "loss"},
    {LAST, "last validation loss", "val_loss"},
    {MIN, "best validation loss", "val_loss"},
    {LAST, "last validation perplexity", "val_perplexity"},
    {GROUP, "Speed", NULL},
    {RECENT, "tokens/s, median of the last 100 steps", "tokens_per_s"},
    {RECENT, "seconds per step, median of the same steps", "step_s"},
    {RECENT, "model FLOP/s, median of the same steps", "model_flops_per_s"},
    {DURATION, "duration of the last launch", "seconds"},
    {GROUP, "Layout", NULL},
    {NUMBER, "ranks", "ranks"},
    {NUMBER, "data", "layout.data"},
    {NUMBER, "pipeline", "layout.pipeline"},
    {NUMBER, "sequence", "layout.sequence"},
    {NUMBER, "segments", "layout.segments"},
    {NUMBER, "micro-batch", "layout.microbatch"},
    {NUMBER, "threads per rank", "layout.threads"},
    {GROUP, "Choices", NULL},
    {TEXT, "scan", "choices.scan"},
    {NUMBER, "chunk", "choices.chunk"},
    {TEXT, "GEMM backend", "choices.products"},
    {TEXT, "kernels", "choices.kernels"},
    {CONFIG, "precision", "train.precision"},
    {GROUP, "Size", NULL},
    {NUMBER, "parameters", "parameters"},
    {BYTES, "peak memory of the largest rank", "peak_bytes.max"},
    {BYTES, "peak memory of the largest node", "peak_node_bytes"},
    {BYTES, "states sent per step", "scan_bytes_per_step"},
    {GROUP, "Checkpoints", NULL},
    {NUMBER, "saves", "checkpoint.saves"},
    {NUMBER, "failed saves", "checkpoint.failed"},
    {DURATION, "pause of training per save", "checkpoint.stop_s"},
};

static void put_value(FILE *file, const rn_run_record *run, const row *r) {
  const char *text = rn_run_record_text(run, r->key);
  const rn_config_entry *entry = rn_config_record_find(&run->config, r->key);
  const rn_series *series = rn_run_record_series(run, r->key);
  switch (r->kind) {
    case TEXT:
      rn_html_text(file, text != NULL ? text : "-");
      return;
    case CONFIG:
      rn_html_text(file, entry != NULL ? entry->value : "-");
      return;
    case BYTES:
      rn_html_bytes(file, rn_run_record_value(run, r->key));
      return;
    case DURATION:
      rn_html_duration(file, rn_run_record_value(run, r->key));
      return;
    case NUMBER:
      rn_html_value(file, rn_run_record_value(run, r->key));
      return;
    case FINAL:
      rn_html_value(file, rn_series_at(series, run->steps));
      return;
    default:
      rn_html_value(file, r->kind == LAST  ? rn_series_last(series)
                          : r->kind == MIN ? rn_series_min(series)
                                           : rn_series_recent(series));
  }
}

static void put_run_heads(FILE *file, const rn_run_record *runs, int count) {
  for (int i = 0; i < count; i++) {
    fprintf(file, "<th scope=\"col\" data-run=\"%d\" class=\"r%d\"><i></i><bdi>", i,
            i % RN_RUN_COLOURS);
    rn_html_text(file, runs[i].path);
    fputs("</bdi></th>", file);
  }
}

static int64_t last_step(const rn_run_record *run) {
  return run->steps;
}

static int64_t skipped_steps(const rn_run_record *run) {
  return (int64_t)run->skipped.count;
}

static int64_t spikes(const rn_run_record *run) {
  return (int64_t)run->spikes.count;
}

static int64_t rollbacks(const rn_run_record *run) {
  return rn_run_record_rollbacks(run, INT64_MAX);
}

/* Writes the rows with the numbers of steps and rollbacks. Steps are counted by their lines in
 * metrics.jsonl, from which a rollback removes the steps that it undoes. */
static void put_step_rows(FILE *file, const rn_run_record *runs, int count) {
  static const struct {
    const char *label;
    int64_t (*of)(const rn_run_record *run);
  } counts[] = {{"last step", last_step},
                {"skipped steps", skipped_steps},
                {"skipped steps that are loss spikes", spikes},
                {"rollbacks to an earlier step", rollbacks}};
  for (size_t r = 0; r < sizeof counts / sizeof *counts; r++) {
    fprintf(file, "<tr><th scope=\"row\">%s</th>", counts[r].label);
    for (int i = 0; i < count; i++) {
      fprintf(file, "<td data-run=\"%d\">%lld</td>", i, (long long)counts[r].of(&runs[i]));
    }
    fputs("</tr>\n", file);
  }
}

void rn_page_figures(FILE *file, const rn_run_record *runs, int count) {
  fputs("<section><h2>Figures</h2><div class=\"scroll\"><table>\n<thead><tr><td></td>", file);
  put_run_heads(file, runs, count);
  fputs("</tr></thead>\n<tbody>\n", file);
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    if (rows[r].kind == GROUP) {
      fprintf(file, "<tr class=\"group\"><th colspan=\"%d\">%s</th></tr>\n", count + 1,
              rows[r].label);
      if (r == 0) put_step_rows(file, runs, count);
      continue;
    }
    fprintf(file, "<tr><th scope=\"row\">%s</th>", rows[r].label);
    for (int i = 0; i < count; i++) {
      fprintf(file, "<td data-run=\"%d\">", i);
      put_value(file, &runs[i], &rows[r]);
      fputs("</td>", file);
    }
    fputs("</tr>\n", file);
  }
  fputs("</tbody></table></div></section>\n", file);
}

/* ---- memory ---- */

static void put_bar(FILE *file, int run, const char *label, double bytes, double longest) {
  if (!(bytes >= 0)) return;
  fprintf(file,
          "<div class=\"bar r%d\" data-run=\"%d\"><span>%s</span><b><i style=\"width:%.2f%%\">"
          "</i></b><span>",
          run % RN_RUN_COLOURS, run, label, longest > 0 ? 100 * bytes / longest : 0);
  rn_html_bytes(file, bytes);
  fputs("</span></div>", file);
}

void rn_page_memory(FILE *file, const rn_run_record *runs, int count) {
  static const row bars[] = {{BYTES, "largest rank", "peak_bytes.max"},
                             {BYTES, "mean", "peak_bytes.avg"},
                             {BYTES, "smallest rank", "peak_bytes.min"},
                             {BYTES, "estimate", "predicted_peak_bytes"}};
  enum { BARS = sizeof bars / sizeof *bars };
  double longest = NAN;
  for (int i = 0; i < count; i++) {
    for (int b = 0; b < BARS; b++) {
      longest = fmax(longest, rn_run_record_value(&runs[i], bars[b].key));
    }
  }
  if (!(longest >= 0)) return;
  fputs(
      "<figure class=\"chart\" id=\"memory\"><figcaption><h3>Memory</h3><p>peak of a rank, and the "
      "planner's estimate for the largest rank</p></figcaption><div class=\"bars\">",
      file);
  for (int i = 0; i < count; i++) {
    for (int b = 0; b < BARS; b++) {
      put_bar(file, i, bars[b].label, rn_run_record_value(&runs[i], bars[b].key), longest);
    }
  }
  fputs("</div></figure>\n", file);
}

/* ---- configuration ---- */

static bool differs(const rn_run_record *runs, int count, const char *key) {
  const rn_config_entry *first = rn_config_record_find(&runs[0].config, key);
  for (int i = 1; i < count; i++) {
    const rn_config_entry *other = rn_config_record_find(&runs[i].config, key);
    if ((first == NULL) != (other == NULL)) return true;
    if (first != NULL && strcmp(first->value, other->value) != 0) return true;
  }
  return false;
}

static void put_key(FILE *file, const rn_run_record *runs, int count, const char *key) {
  fprintf(file, "<tr class=\"%s\"><th scope=\"row\"><code>",
          differs(runs, count, key) ? "differs" : "same");
  rn_html_text(file, key);
  fputs("</code></th>", file);
  for (int i = 0; i < count; i++) {
    const rn_config_entry *entry = rn_config_record_find(&runs[i].config, key);
    fprintf(file, "<td data-run=\"%d\"><code>", i);
    rn_html_text(file, entry != NULL ? entry->value : "-");
    fputs("</code><small>", file);
    rn_html_text(file, entry != NULL ? entry->origin : "");
    fputs("</small></td>", file);
  }
  fputs("</tr>\n", file);
}

/* True if a run before `run` has the key, so that the row of the key is already written. */
static bool is_shown(const rn_run_record *runs, int run, const char *key) {
  for (int i = 0; i < run; i++) {
    if (rn_config_record_find(&runs[i].config, key) != NULL) return true;
  }
  return false;
}

void rn_page_config(FILE *file, const rn_run_record *runs, int count) {
  fputs("<section id=\"config\"><h2>Configuration</h2><p>Every key with the origin of its value",
        file);
  if (count > 1) {
    fputs(
        "; rows in which the runs differ are marked. <button type=\"button\" id=\"only\" "
        "aria-pressed=\"false\" hidden>Only differences</button>",
        file);
  }
  fputs("</p><div class=\"scroll\"><table>\n<thead><tr><td></td>", file);
  put_run_heads(file, runs, count);
  fputs("</tr></thead>\n<tbody>\n", file);
  for (int i = 0; i < count; i++) {
    for (size_t k = 0; k < runs[i].config.count; k++) {
      const char *key = runs[i].config.entry[k].key;
      if (!is_shown(runs, i, key)) put_key(file, runs, count, key);
    }
  }
  fputs("</tbody></table></div></section>\n", file);
}
