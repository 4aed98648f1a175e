/*
 * retnet-bench step: training steps on made-up tokens, and what the scan adds to one.
 *
 * The scan's cost comes from pairs of steps in one run, with it and with a port that answers at
 * once: the machine's moods hit both. Such an answer is wrong, and good for timing only.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "proto/clock.h"
#include "proto/options.h"
#include "trainer/bench.h"
#include "trainer/step.h"

enum { WARM_UP = 2, PAIRS = 10, MOST_KEYS = 64 };

/* The reference step; keys of the command line come behind. */
static const char *const reference[] = {
    "model.layers=8", "model.dim=512",   "model.value_dim=1024",      "model.ffn_dim=1024",
    "model.heads=4",  "model.vocab=256", "data.sequence_length=2048", "data.batch_sequences=1"};
enum { REFERENCE_KEYS = sizeof reference / sizeof reference[0] };

static rn_status zero_begin(void *self, rn_err *err, rn_scan_direction direction, int layer, int n,
                            int64_t m, const double *log_decay, const float *own) {
  (void)err, (void)direction, (void)layer, (void)log_decay, (void)own;
  *(size_t *)self = (size_t)(n * m) * sizeof *own;
  return RN_OK;
}

static void zero_poll(void *self) {
  (void)self;
}

static rn_status zero_end(void *self, rn_err *err, float *before) {
  (void)err;
  memset(before, 0, *(size_t *)self);
  return RN_OK;
}

/* Seconds of steps; `none` where the scan answered at once. */
typedef struct timing {
  int count;
  double step_s[PAIRS], none_s[PAIRS], wait_s[PAIRS];
} timing;

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The value that a share of the others is below: 0.5 gives the median. */
static double quantile(const double *values, int count, double share) {
  double sorted[PAIRS];
  memcpy(sorted, values, (size_t)count * sizeof *values);
  qsort(sorted, (size_t)count, sizeof *sorted, compare);
  const int low = (int)floor(share * (count - 1)), high = (int)ceil(share * (count - 1));
  return (sorted[low] + sorted[high]) / 2;
}

static double cost_quantile(const timing *t, double share) {
  double cost[PAIRS];
  for (int i = 0; i < t->count; i++) cost[i] = 1 - t->none_s[i] / t->step_s[i];
  return quantile(cost, t->count, share);
}

/* One step of all ranks, from a common start to the last one's end. */
static rn_status time_step(rn_err *err, rn_run *run, rn_scan_port *instead, double *step_s,
                           double *wait_s) {
  rn_step_result result;
  run->scan.instead = instead;
  RN_TRY(err, rn_world_barrier(err, run->world));
  const double start_s = rn_clock_s();
  RN_TRY(err, rn_step(err, run, &result));
  RN_TRY(err, rn_world_barrier(err, run->world));
  *step_s = rn_clock_s() - start_s;
  *wait_s = result.scan_wait_s;
  return RN_OK;
}

/* Every other pair begins with the step that has no scan. */
static rn_status time_pair(rn_err *err, rn_run *run, rn_scan_port *none, timing *t) {
  const int i = t->count++;
  double unused;
  if (i % 2 != 0) RN_TRY(err, time_step(err, run, none, &t->none_s[i], &unused));
  RN_TRY(err, time_step(err, run, NULL, &t->step_s[i], &t->wait_s[i]));
  return i % 2 != 0 ? RN_OK : time_step(err, run, none, &t->none_s[i], &unused);
}

static rn_status time_steps(rn_err *err, rn_run *run, bool pairs, timing *t) {
  size_t bytes = 0;
  rn_scan_port none = {.self = &bytes, .begin = zero_begin, .poll = zero_poll, .end = zero_end};
  double unused[2];
  for (int i = 0; i < WARM_UP; i++) {
    RN_TRY(err, time_step(err, run, NULL, &unused[0], &unused[1]));
  }
  for (int i = 0; i < PAIRS; i++) {
    if (pairs) {
      RN_TRY(err, time_pair(err, run, &none, t));
    } else {
      RN_TRY(err, time_step(err, run, NULL, &t->step_s[i], &t->wait_s[i]));
      t->count++;
    }
  }
  return RN_OK;
}

static void print(const rn_run *run, const timing *t, bool json, bool pairs) {
  const Retnet__Data *data = run->config->data;
  const double step_s = quantile(t->step_s, t->count, 0.5);
  const double tokens_per_s = (double)data->batch_sequences * data->sequence_length / step_s;
  const double flops_per_s = tokens_per_s * rn_spec_flops_per_token(&run->spec);
  const double wait_s = quantile(t->wait_s, t->count, 0.5);
  struct rusage usage;
  char scan[120];
  getrusage(RUSAGE_SELF, &usage);
  rn_scan_source_describe(&run->scan, scan, sizeof scan);
  if (json) {
    printf("{\"ranks\": %d, \"precision\": \"fp32\", \"threads\": %d, \"step_s\": %.9g, ",
           rn_world_size(run->world), run->threads, step_s);
    printf("\"tokens_per_s\": %.9g, \"model_flops_per_s\": %.9g, \"peak_bytes\": %.0f, ",
           tokens_per_s, flops_per_s, (double)usage.ru_maxrss * 1024);
    printf("\"scan\": \"%s\", \"scan_wait_s\": %.9g", rn_scan_name(run->scan.algorithm), wait_s);
    if (pairs) {
      printf(", \"pairs\": %d, \"step_without_scan_s\": %.9g, \"scan_cost\": %.9g", t->count,
             quantile(t->none_s, t->count, 0.5), cost_quantile(t, 0.5));
    }
    printf("}\n");
    return;
  }
  printf("%d ranks of %d threads: step %.1f ms, %.0f tokens/s, %.1f GFLOP/s; median of %d\n",
         rn_world_size(run->world), run->threads, 1e3 * step_s, tokens_per_s, 1e-9 * flops_per_s,
         t->count);
  printf("scan %s: a rank waits %.2f ms a step\n", scan, 1e3 * wait_s);
  if (pairs) {
    printf("the scan costs %.2f %% of the step, median of %d pairs (quarters %.2f and %.2f %%)\n",
           100 * cost_quantile(t, 0.5), t->count, 100 * cost_quantile(t, 0.25),
           100 * cost_quantile(t, 0.75));
  }
}

static rn_status load(rn_err *err, const rn_bench_options *options, Retnet__Config **config) {
  const char *keys[MOST_KEYS];
  int count = 0;
  if (options->keys.count > MOST_KEYS - REFERENCE_KEYS) {
    return rn_fail(err, RN_ERR_USAGE, "more than %d keys", MOST_KEYS - REFERENCE_KEYS);
  }
  for (int i = 0; i < REFERENCE_KEYS; i++) keys[count++] = reference[i];
  for (int i = 0; i < options->keys.count; i++) keys[count++] = options->keys.word[i];
  RN_TRY(err, rn_options_load(err, NULL, keys, count, config));
  return rn_options_check_landed(err, *config);
}

static rn_status check(rn_err *err, const rn_bench_options *options) {
  if (options->scan == NULL || strcmp(options->scan, "none") == 0) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE, "--scan %s: only none; -s parallel.scan=... chooses one",
                 options->scan);
}

rn_status rn_bench_step(rn_err *err, rn_world *world, const rn_bench_options *options) {
  const bool pairs = options->scan != NULL;
  Retnet__Config *config = NULL;
  rn_run run = {0};
  timing t = {0};
  RN_TRY(err, check(err, options));
  rn_status status = rn_agree(err, world, load(err, options, &config));
  if (status == RN_OK && (status = rn_run_create(err, config, world, &run)) == RN_OK) {
    if (pairs && run.layout.sequence == 1) {
      status = rn_fail(err, RN_ERR_USAGE,
                       "--scan none: there is no scan, since no sequence is cut over ranks: use "
                       "mpirun, and -s parallel.sequence=2 for example");
    }
    if (status == RN_OK) status = time_steps(err, &run, pairs, &t);
    if (status == RN_OK && rn_world_rank(world) == 0) print(&run, &t, options->json, pairs);
    rn_run_destroy(&run);
  }
  rn_options_free(&config);
  return status;
}
