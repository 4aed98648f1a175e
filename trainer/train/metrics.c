#include "trainer/train/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/journal_filter.h"
#include "proto/base/log.h"
#include "trainer/train/json_text.h"

/* Returns the step of a line {"step": N, ... that this program wrote; -1 for any other line. */
static int64_t step_of(const rn_line *line) {
  const char *text = line->head;
  char *end;
  int used = 0;
  if (sscanf(text, " { \"step\" : %n", &used) != 0 || used == 0) return -1;
  if (text[used] < '0' || text[used] > '9') return -1;
  const long long step = strtoll(text + used, &end, 10);
  return *end == ',' || *end == '}' ? step : -1;
}

/* True if the last line has no newline and is blank or an incomplete record of this program. A
 * record that lacks only the newline is complete. */
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

/* Shows the progress bar, which the next console line overwrites. */
static void show_progress(int64_t step, int64_t steps, double left_s) {
  enum { WIDTH = 30 };
  char bar[WIDTH + 1];
  const int done = (int)(step * WIDTH / steps);
  for (int i = 0; i < WIDTH; i++) bar[i] = i < done ? '#' : '.';
  bar[WIDTH] = '\0';
  rn_log_progress("[%s] %lld %%, %.0f s left", bar, (long long)(step * 100 / steps), left_s);
}

static void print_console(const rn_metrics *m, const rn_run_settings *settings,
                          const rn_metrics_sample *sample, double tokens_per_s) {
  const rn_step_result *r = sample->result;
  const int64_t step = sample->counters->step, steps = settings->config->train->steps;
  const double left_s = (double)(steps - step) * m->total_s / (double)(m->steps > 0 ? m->steps : 1);
  char scan[40] = "", val[60] = "";
  if (settings->plan.layout.sequence > 1) {
    snprintf(scan, sizeof scan, "  scan wait %.1f ms", 1e3 * r->scan_wait_s);
  }
  if (sample->val_loss != NULL) {
    snprintf(val, sizeof val, "  val_loss %.4f  perplexity %.3f", *sample->val_loss,
             exp(*sample->val_loss));
  }
  rn_log_info(
      "step %lld/%lld  loss %.4f  norm %.3f  lr %.2e  %.0f tokens/s  %.2f GFLOP/s  ETA %.0f "
      "s%s%s%s",
      (long long)step, (long long)steps, r->loss, r->grad_norm, r->lr, tokens_per_s,
      tokens_per_s * rn_spec_flops_per_token(&settings->spec) / 1e9, left_s, scan,
      r->skipped ? "  SKIPPED" : "", val);
  if (step < steps) show_progress(step, steps, left_s);
}

static void put_step(FILE *file, const rn_run_settings *settings, const rn_metrics_sample *sample,
                     double tokens_per_s) {
  const rn_step_result *r = sample->result;
  fprintf(file, "{\"step\": %lld, \"tokens\": %lld", (long long)sample->counters->step,
          (long long)sample->counters->tokens);
  rn_json_put(file, "loss", r->skipped ? NAN : r->loss);
  rn_json_put(file, "lr", r->lr);
  rn_json_put(file, "grad_norm", r->grad_norm);
  rn_json_put(file, "step_s", sample->step_s);
  rn_json_put(file, "tokens_per_s", tokens_per_s);
  rn_json_put(file, "model_flops_per_s", tokens_per_s * rn_spec_flops_per_token(&settings->spec));
  if (settings->plan.layout.sequence > 1) rn_json_put(file, "scan_wait_s", r->scan_wait_s);
  if (r->skipped) fprintf(file, ", \"skipped\": true");
  if (sample->val_loss != NULL) {
    rn_json_put(file, "val_loss", *sample->val_loss);
    rn_json_put(file, "val_perplexity", exp(*sample->val_loss));
  }
  fprintf(file, "}\n");
}

/* True if a line is written for this step. */
static bool is_logged(const Retnet__Train *train, const rn_metrics_sample *sample) {
  const int64_t step = sample->counters->step, every = train->log_every > 0 ? train->log_every : 1;
  return sample->val_loss != NULL || step == train->steps || sample->result->skipped ||
         step % every == 0;
}

rn_status rn_metrics_step(rn_err *err, rn_metrics *m, const rn_run_settings *settings,
                          const rn_metrics_sample *sample) {
  const Retnet__Data *data = settings->config->data;
  const double tokens_per_s =
      (double)data->batch_sequences * data->sequence_length / sample->step_s;
  m->total_s += sample->step_s;
  m->scan_wait_s += sample->result->scan_wait_s;
  m->steps++;
  m->loss = sample->result->loss;
  if (sample->val_loss != NULL) m->val_loss = *sample->val_loss;
  if (!is_logged(settings->config->train, sample)) return RN_OK;
  print_console(m, settings, sample, tokens_per_s);
  char *line = NULL;
  size_t bytes = 0;
  FILE *file = open_memstream(&line, &bytes);
  if (file == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing metrics.jsonl");
  put_step(file, settings, sample, tokens_per_s);
  const rn_status whole = rn_json_close(err, file, "metrics.jsonl");
  rn_status status = whole == RN_OK ? rn_journal_add(err, &m->file, line, bytes) : whole;
  free(line);
  return status;
}
