#include "trainer/train/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/journal_filter.h"
#include "model/kernel/gemm.h"
#include "model/kernel/kernels.h"
#include "proto/base/log.h"

/* The step of a line {"step": N, ... that this program wrote; -1 for any other line. */
static int64_t step_of(const rn_line *line) {
  const char *text = line->head;
  char *end;
  int used = 0;
  if (sscanf(text, " { \"step\" : %n", &used) != 0 || used == 0) return -1;
  if (text[used] < '0' || text[used] > '9') return -1;
  const long long step = strtoll(text + used, &end, 10);
  return *end == ',' || *end == '}' ? step : -1;
}

/* True for a last line without newline that is blank or an incomplete record of this program. If
 * only the newline is missing, the line is whole. */
static bool is_torn(const rn_line *line) {
  static const char beginning[] = "{\"step\": ";
  size_t same = sizeof beginning - 1;
  if (line->head_bytes < same) same = line->head_bytes;
  const bool ours = memcmp(line->head, beginning, same) == 0;
  return !line->ended && (line->blank || (ours && !(line->closed && step_of(line) >= 0)));
}

static bool is_kept(const void *self, const rn_line *line) {
  const int64_t *step = self;
  return !is_torn(line) && step_of(line) <= *step;
}

rn_status rn_metrics_open(rn_err *err, const char *run_dir, int64_t step, rn_metrics *out) {
  const rn_path path = rn_path_join(run_dir, "metrics.jsonl");
  int64_t kept = 0;
  *out = (rn_metrics){
      .val_loss = NAN, .loss = NAN, .failures = {.what = "failed writes of metrics.jsonl"}};
  RN_TRY(err, rn_journal_filter(err, path.text, is_kept, &step, &kept));
  return rn_journal_open(err, path.text, kept, &out->file);
}

rn_status rn_metrics_close(rn_err *err, rn_metrics *metrics) {
  return rn_journal_close(err, &metrics->file);
}

static void put_number(FILE *file, const char *name, double value) {
  if (isfinite(value)) {
    fprintf(file, ", \"%s\": %.17g", name, value);
  } else {
    fprintf(file, ", \"%s\": null", name);
  }
}

/* Shows the progress bar, which the next console line overwrites. */
static void show_progress(const rn_run *run, double left_s) {
  enum { WIDTH = 30 };
  char bar[WIDTH + 1];
  const int64_t steps = run->settings.config->train->steps;
  const int done = (int)(run->counters.step * WIDTH / steps);
  for (int i = 0; i < WIDTH; i++) bar[i] = i < done ? '#' : '.';
  bar[WIDTH] = '\0';
  rn_log_progress("[%s] %lld %%, %.0f s left", bar, (long long)(run->counters.step * 100 / steps),
                  left_s);
}

static void print_console(const rn_metrics *m, const rn_run *run, const rn_step_result *r,
                          double tokens_per_s, const double *val_loss) {
  const double left_s = (double)(run->settings.config->train->steps - run->counters.step) *
                        m->total_s / (double)(m->steps > 0 ? m->steps : 1);
  char scan[40] = "", val[60] = "";
  if (run->settings.plan.layout.sequence > 1) {
    snprintf(scan, sizeof scan, "  scan wait %.1f ms", 1e3 * r->scan_wait_s);
  }
  if (val_loss != NULL) {
    snprintf(val, sizeof val, "  val_loss %.4f  perplexity %.3f", *val_loss, exp(*val_loss));
  }
  rn_log_info(
      "step %lld/%lld  loss %.4f  norm %.3f  lr %.2e  %.0f tokens/s  %.2f GFLOP/s  ETA %.0f "
      "s%s%s%s",
      (long long)run->counters.step, (long long)run->settings.config->train->steps, r->loss,
      r->grad_norm, r->lr, tokens_per_s,
      tokens_per_s * rn_spec_flops_per_token(&run->settings.spec) / 1e9, left_s, scan,
      r->skipped ? "  SKIPPED" : "", val);
  if (run->counters.step < run->settings.config->train->steps) show_progress(run, left_s);
}

static void put_step(FILE *file, const rn_run *run, const rn_step_result *r, double step_s,
                     double tokens_per_s, const double *val_loss) {
  fprintf(file, "{\"step\": %lld, \"tokens\": %lld", (long long)run->counters.step,
          (long long)run->counters.tokens);
  put_number(file, "loss", r->skipped ? NAN : r->loss);
  put_number(file, "lr", r->lr);
  put_number(file, "grad_norm", r->grad_norm);
  put_number(file, "step_s", step_s);
  put_number(file, "tokens_per_s", tokens_per_s);
  put_number(file, "model_flops_per_s",
             tokens_per_s * rn_spec_flops_per_token(&run->settings.spec));
  if (run->settings.plan.layout.sequence > 1) put_number(file, "scan_wait_s", r->scan_wait_s);
  if (r->skipped) fprintf(file, ", \"skipped\": true");
  if (val_loss != NULL) {
    put_number(file, "val_loss", *val_loss);
    put_number(file, "val_perplexity", exp(*val_loss));
  }
  fprintf(file, "}\n");
}

/* Closes a memory stream; fails if the text is incomplete. */
static rn_status close_text(rn_err *err, FILE *file, const char *what) {
  const bool whole = ferror(file) == 0;
  return fclose(file) == 0 && whole ? RN_OK
                                    : rn_fail(err, RN_ERR_MEMORY, "out of memory for %s", what);
}

rn_status rn_metrics_step(rn_err *err, rn_metrics *m, const rn_run *run, const rn_step_result *r,
                          double step_s, const double *val_loss) {
  const Retnet__Config *c = run->settings.config;
  const double tokens_per_s = (double)c->data->batch_sequences * c->data->sequence_length / step_s;
  m->step_s = step_s;
  m->total_s += step_s;
  m->scan_wait_s += r->scan_wait_s;
  m->steps++;
  m->loss = r->loss;
  if (val_loss != NULL) m->val_loss = *val_loss;
  const bool passed_by =
      val_loss == NULL && run->counters.step != c->train->steps && !r->skipped &&
      run->counters.step % (c->train->log_every > 0 ? c->train->log_every : 1) != 0;
  if (passed_by) return RN_OK;
  print_console(m, run, r, tokens_per_s, val_loss);
  char *line = NULL;
  size_t bytes = 0;
  FILE *file = open_memstream(&line, &bytes);
  if (file == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory for a line of metrics.jsonl");
  put_step(file, run, r, step_s, tokens_per_s, val_loss);
  const rn_status whole = close_text(err, file, "a line of metrics.jsonl");
  rn_status status = whole == RN_OK ? rn_journal_add(err, &m->file, line, bytes) : whole;
  free(line);
  return status;
}

static void put_list(FILE *file, const char *name, const double *values, int count) {
  fprintf(file, ",\n \"%s\": [", name);
  for (int i = 0; i < count; i++) fprintf(file, "%s%.0f", i > 0 ? ", " : "", values[i]);
  fprintf(file, "]");
}

/* Predicted memory of the rank that needs most. */
static size_t predicted_bytes(const rn_run *run) {
  return rn_memory_total(rn_memory_largest_rank(&run->settings.plan.memory));
}

static void put_saves(FILE *file, const rn_save_costs *c) {
  const double saves = c->saves > 0 ? (double)c->saves : 1;
  fprintf(file, ",\n \"checkpoint\": {\"saves\": %lld, \"failed\": %lld", (long long)c->saves,
          (long long)c->failed);
  put_number(file, "stop_s", c->stop_s / saves);
  put_number(file, "copy_s", c->copy_s / saves);
  put_number(file, "wait_s", c->wait_s / saves);
  put_number(file, "write_s", c->write_s / saves);
  put_number(file, "ratio", c->stored_bytes > 0 ? c->raw_bytes / c->stored_bytes : 1);
  fprintf(file, "}");
}

static void put_summary(FILE *file, const rn_metrics *m, const rn_run *run,
                        const rn_save_costs *saves, double seconds, rn_metrics_ranks ranks) {
  const rn_layout *l = &run->settings.plan.layout;
  const int size = rn_world_size(run->parallel.world);
  double least = ranks.peak_bytes[0], most = least, sum = 0, scan = 0;
  for (int i = 0; i < size; i++) {
    least = fmin(least, ranks.peak_bytes[i]);
    most = fmax(most, ranks.peak_bytes[i]);
    sum += ranks.peak_bytes[i];
    scan += ranks.scan_bytes[i];
  }
  fprintf(file, "{\"step\": %lld, \"tokens\": %lld", (long long)run->counters.step,
          (long long)run->counters.tokens);
  put_number(file, "loss", m->loss);
  put_number(file, "val_loss", m->val_loss);
  put_number(file, "seconds", seconds);
  fprintf(file,
          ", \"ranks\": %d,\n \"layout\": {\"data\": %d, \"pipeline\": %d, \"sequence\": %d, "
          "\"segments\": %d, \"microbatch\": %d, \"threads\": %d}",
          size, l->data, l->pipeline, l->sequence, l->segments, l->microbatch,
          run->settings.machine.threads);
  fprintf(file,
          ",\n \"choices\": {\"scan\": \"%s\", \"chunk\": %d, \"products\": \"%s\", "
          "\"kernels\": \"%s\"}",
          rn_scan_name(run->parallel.scan.algorithm), run->settings.spec.chunk,
          rn_gemm_backend_in_use()->name, rn_kernels_table()->name);
  put_list(file, "tokens_per_rank_step", ranks.targets, size);
  fprintf(file, ",\n \"scan_bytes_per_step\": %.0f", m->steps > 0 ? scan / (double)m->steps : 0);
  put_number(file, "scan_wait_s", m->steps > 0 ? m->scan_wait_s / (double)m->steps : 0);
  fprintf(file, ",\n \"peak_bytes\": {\"min\": %.0f, \"avg\": %.0f, \"max\": %.0f}", least,
          sum / size, most);
  fprintf(file, ",\n \"peak_node_bytes\": %lld", (long long)ranks.node_peak_bytes);
  fprintf(file, ",\n \"predicted_peak_bytes\": %zu", predicted_bytes(run));
  fprintf(file, ",\n \"predicted_peak_node_bytes\": %zu", rn_plan_node_bytes(&run->settings.plan));
  fprintf(file, ",\n \"weights_shared_by\": %d", run->model.weights.sharing_ranks);
  put_saves(file, saves);
  fprintf(file, ",\n \"parameters\": %lld}\n", (long long)rn_spec_parameters(&run->settings.spec));
}

rn_status rn_metrics_summary(rn_err *err, const rn_metrics *m, const rn_run *run,
                             const rn_save_costs *saves, double seconds, rn_metrics_ranks ranks) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *file = open_memstream(&text, &bytes);
  if (file == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory for summary.json");
  put_summary(file, m, run, saves, seconds, ranks);
  rn_status status = close_text(err, file, "summary.json");
  if (status == RN_OK) {
    status = rn_file_replace(err, rn_path_join(run->settings.config->run->dir, "summary.json").text,
                             text, bytes);
  }
  free(text);
  return status;
}
