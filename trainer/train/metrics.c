#include "trainer/train/metrics.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/file/journal_filter.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "trainer/train/json_text.h"
#include "trainer/train/progress_line.h"

enum { MAX_SCALARS = 16 + 2 * RN_MAX_VAL_SETS, NAME_BYTES = RN_VAL_NAME_BYTES + 16 };

/* Returns the step of a line {"step": N, ... that this program wrote, or -1 for any other line. */
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

static rn_status open_files(rn_err *err, const char *run_dir, int64_t step, rn_metrics *m) {
  const rn_path path = rn_path_join(run_dir, "metrics.jsonl");
  int64_t kept = 0;
  RN_TRY(err, rn_journal_filter(err, path.text, is_kept, &step, &kept));
  RN_TRY(err, rn_journal_open(err, path.text, kept, &m->file));
  return rn_event_file_create(err, run_dir, step + 1, &m->events);
}

rn_status rn_metrics_open(rn_err *err, const char *run_dir, int64_t step, rn_metrics *out) {
  *out =
      (rn_metrics){.val_loss = NAN, .loss = NAN, .failures = {.what = "failed writes of metrics"}};
  return open_files(err, run_dir, step, out);
}

rn_status rn_metrics_rewind(rn_err *err, rn_metrics *m, const char *run_dir, int64_t step,
                            int64_t from, int rollbacks) {
  rn_event_file events;
  rn_err unwritten = {0};
  int64_t kept;
  m->rolled_back_from = from;
  m->rollbacks = rollbacks;
  const rn_status flushed = rn_journal_flush(&unwritten, &m->file);
  rn_status status = rn_journal_filter(err, m->file.path.text, is_kept, &step, &kept);
  if (status == RN_OK) status = rn_journal_reopen(err, &m->file);
  if (status == RN_OK) status = rn_event_file_create(err, run_dir, step + 1, &events);
  if (status != RN_OK) return status;
  status = rn_event_file_close(err, &m->events);
  m->events = events;
  return flushed == RN_OK ? status : rn_fail(err, flushed, "%s", unwritten.text);
}

bool rn_metrics_waiting(const rn_metrics *metrics) {
  return metrics->file.waiting_bytes > 0 || metrics->events.file.waiting_bytes > 0;
}

void rn_metrics_discard(rn_metrics *metrics) {
  rn_journal_discard(&metrics->file);
  rn_journal_discard(&metrics->events.file);
}

rn_status rn_metrics_close(rn_err *err, rn_metrics *metrics) {
  if (metrics->shown_s > 0) rn_log_progress("%s", "");
  const rn_status line = rn_journal_close(err, &metrics->file);
  const rn_status record = rn_event_file_close(err, &metrics->events);
  return line != RN_OK ? line : record;
}

/* True for a step that gets a line of its own even on a terminal. Other steps are shown on a
 * terminal only in the progress line. */
static bool is_notable(const Retnet__Train *train, const rn_metrics_sample *sample) {
  return sample->val != NULL || sample->result->skipped || sample->counters->step == train->steps;
}

/* True if a line is written for this step. */
static bool is_logged(const Retnet__Train *train, const rn_metrics_sample *sample) {
  const int64_t every = train->log_every > 0 ? train->log_every : 1;
  return is_notable(train, sample) || sample->counters->step % every == 0;
}

/* Returns the estimated time until the last step, from the steps of this launch. */
static double time_left_s(const rn_metrics *m, int64_t step, int64_t steps) {
  return (double)(steps - step) * m->total_s / (double)(m->steps > 0 ? m->steps : 1);
}

/* Shows the step in the progress line, at most ten times a second. */
static void show_progress(rn_metrics *m, const rn_metrics_sample *sample, int64_t steps,
                          double tokens_per_s, int columns) {
  static const double every_s = 0.1;
  const rn_step_result *r = sample->result;
  const int64_t step = sample->counters->step;
  const double now_s = rn_clock_s();
  char text[RN_LOG_PROGRESS_BYTES];
  if (now_s - m->shown_s < every_s) return;
  const rn_progress_values values = {step,         steps,       time_left_s(m, step, steps),
                                     r->loss,      m->val_loss, r->lr,
                                     r->grad_norm, tokens_per_s};
  rn_progress_line(&values, columns, text, sizeof text);
  rn_log_progress("%s", text);
  m->shown_s = now_s;
}

static const char *skip_word(const rn_step_result *r) {
  if (!r->skipped) return "";
  return r->spike.what != NULL ? "  SKIPPED (spike)" : "  SKIPPED";
}

static void print_console(const rn_metrics *m, const rn_run_settings *settings,
                          const rn_metrics_sample *sample, double tokens_per_s) {
  const rn_step_result *r = sample->result;
  const int64_t step = sample->counters->step, steps = settings->config->train->steps;
  const double left_s = time_left_s(m, step, steps);
  char scan[40] = "", val[60] = "";
  if (settings->plan.layout.sequence > 1) {
    snprintf(scan, sizeof scan, "  scan wait %.1f ms", 1e3 * r->scan_wait_s);
  }
  if (sample->val != NULL) {
    snprintf(val, sizeof val, "  val_loss %.4f  perplexity %.3f", sample->val->loss,
             exp(sample->val->loss));
  }
  rn_log_info(
      "step %lld/%lld  loss %.4f  norm %.3f  lr %.2e  %.0f tokens/s  %.2f GFLOP/s  ETA %.0f "
      "s%s%s%s",
      (long long)step, (long long)steps, r->loss, r->grad_norm, r->lr, tokens_per_s,
      tokens_per_s * rn_spec_flops_per_token(&settings->spec) / 1e9, left_s, scan, skip_word(r),
      val);
}

static void show_step(rn_metrics *m, const rn_run_settings *settings,
                      const rn_metrics_sample *sample, double tokens_per_s) {
  const Retnet__Train *train = settings->config->train;
  const int columns = rn_log_progress_columns();
  if (columns > 0 ? is_notable(train, sample) : is_logged(train, sample)) {
    print_console(m, settings, sample, tokens_per_s);
    m->shown_s = 0; /* printing the line has erased the progress line */
  }
  if (columns > 0 && sample->counters->step < train->steps) {
    show_progress(m, sample, train->steps, tokens_per_s, columns);
  }
}

/* The numbers of a step that are written to both files, in the order of metrics.jsonl. */
typedef struct scalar_list {
  rn_scalar scalar[MAX_SCALARS];
  int count;
  char name[MAX_SCALARS][NAME_BYTES]; /* storage for composed names, such as NAME/SET */
} scalar_list;

static void add(scalar_list *list, const char *name, double value) {
  assert(list->count < MAX_SCALARS);
  list->scalar[list->count++] = (rn_scalar){name, value};
}

/* Adds the value of one validation set, with the name NAME/SET. */
static void add_of_set(scalar_list *list, const char *name, const rn_val_set *set, double value) {
  char *text = list->name[list->count];
  snprintf(text, NAME_BYTES, "%s/%s", name, set->name);
  add(list, text, value);
}

static void add_validation(scalar_list *list, const rn_validation *val) {
  add(list, "val_loss", val->loss);
  add(list, "val_perplexity", exp(val->loss));
  for (int i = 0; i < val->sets; i++) {
    add_of_set(list, "val_loss", &val->set[i], val->set_loss[i]);
    add_of_set(list, "val_perplexity", &val->set[i], exp(val->set_loss[i]));
  }
}

static void list_scalars(const rn_run_settings *settings, const rn_metrics_sample *sample,
                         double tokens_per_s, scalar_list *list) {
  const rn_step_result *r = sample->result;
  list->count = 0;
  add(list, "loss", r->skipped && r->spike.what == NULL ? NAN : r->loss);
  add(list, "lr", r->lr);
  add(list, "grad_norm", r->grad_norm);
  add(list, "step_s", sample->step_s);
  add(list, "tokens_per_s", tokens_per_s);
  add(list, "model_flops_per_s", tokens_per_s * rn_spec_flops_per_token(&settings->spec));
  if (settings->plan.layout.sequence > 1) add(list, "scan_wait_s", r->scan_wait_s);
  if (sample->val != NULL) add_validation(list, sample->val);
}

/* Writes the line of a step to metrics.jsonl. */
static rn_status write_line(rn_err *err, rn_metrics *m, const rn_metrics_sample *sample,
                            const scalar_list *list) {
  char *line = NULL;
  size_t bytes = 0;
  FILE *file = open_memstream(&line, &bytes);
  if (file == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing metrics.jsonl");
  fprintf(file, "{\"step\": %lld, \"tokens\": %lld", (long long)sample->counters->step,
          (long long)sample->counters->tokens);
  for (int i = 0; i < list->count; i++) {
    rn_json_put(file, list->scalar[i].name, list->scalar[i].value);
  }
  if (m->rolled_back_from > 0) {
    fprintf(file, ", \"rolled_back_from\": %lld, \"rollbacks\": %d", (long long)m->rolled_back_from,
            m->rollbacks);
  }
  fprintf(file, "%s%s}\n", sample->result->skipped ? ", \"skipped\": true" : "",
          sample->result->spike.what != NULL ? ", \"spike\": true" : "");
  rn_status status = rn_json_close(err, file, "metrics.jsonl");
  if (status == RN_OK) status = rn_journal_add(err, &m->file, line, bytes);
  free(line);
  return status;
}

/* Writes the step to both files, even if one of them fails. */
static rn_status write_step(rn_err *err, rn_metrics *m, const rn_metrics_sample *sample,
                            scalar_list *list) {
  const rn_status line = write_line(err, m, sample, list);
  add(list, "tokens", (double)sample->counters->tokens);
  const rn_status record =
      rn_event_file_add(err, &m->events, sample->counters->step, list->scalar, list->count);
  return line != RN_OK ? line : record;
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
  if (sample->val != NULL) {
    m->val_loss = sample->val->loss;
    m->val = *sample->val;
  }
  show_step(m, settings, sample, tokens_per_s);
  if (!is_logged(settings->config->train, sample)) return RN_OK;
  scalar_list list;
  list_scalars(settings, sample, tokens_per_s, &list);
  const rn_status status = write_step(err, m, sample, &list);
  m->rolled_back_from = 0;
  return status;
}
