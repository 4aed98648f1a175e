/* Checks that profiling does not change results. In the trace, the spans of each rank must nest,
 * each unit (a segment of a micro-batch) of each traced step must have one span each for forward,
 * backward-input and backward-weight, and the spans inside a span must not take longer in total
 * than that span. If every task takes one second, the idle time must equal the idle time that the
 * formula for the schedule gives. */
#include "trainer/profile/profile.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/log.h"
#include "proto/base/span.h"
#include "proto/options/options.h"
#include "tests/support/check.h"
#include "tests/support/temp.h"
#include "trainer/run/step.h"

enum { STEPS = 12, SEQUENCES = 3, SEGMENTS = 2, DEPTH = 16 };

static rn_err err;

static void load(int ranks, Retnet__Config **config) {
  char dir[600], pipeline[40], sequence[40];
  snprintf(dir, sizeof dir, "run.dir=%s", temp_folder());
  snprintf(pipeline, sizeof pipeline, "parallel.pipeline=%d", ranks > 1 ? 2 : 1);
  snprintf(sequence, sizeof sequence, "parallel.sequence=%d", ranks > 1 ? ranks / 2 : 1);
  const char *const keys[] = {dir,
                              pipeline,
                              sequence,
                              "parallel.segments=2",
                              "parallel.microbatch=1",
                              "model.layers=2",
                              "model.dim=16",
                              "model.value_dim=32",
                              "model.ffn_dim=16",
                              "model.heads=2",
                              "model.vocab=20",
                              "data.sequence_length=64",
                              "data.batch_sequences=3"};
  CHECK_OK(&err, rn_options_load(&err, NULL, keys, (int)(sizeof keys / sizeof keys[0]), config));
}

/* Checks the idle time against the formula: a pipeline of two stages is idle for F + B - W and busy
 * for m * K * (F + B + W), where m is the number of micro-batches, K the number of segments, and F,
 * B and W are the times of forward, backward-input and backward-weight. Here F = B = W = 1. */
static void idle_time_matches_the_schedule(rn_run *run) {
  enum { UNITS = SEQUENCES * SEGMENTS };
  rn_profile profile = {
      .parallel = &run->parallel, .schedule = &run->model.pipeline.schedule, .steps = 3};
  rn_profile_idle idle;
  for (int i = 0; i < 3; i++) {
    profile.sample[i] = (rn_profile_sample){3 * UNITS + 1, {UNITS, UNITS, UNITS}};
  }
  CHECK_OK(&err, rn_profile_pipeline(&err, &profile, &idle));
  if (rn_world_rank(run->parallel.world) != 0) return;
  const double want = run->settings.plan.layout.pipeline == 2 ? 1.0 / (3 * UNITS + 1) : 0;
  CHECK_NEAR(idle.seen, want, 1e-9);
  if (run->settings.plan.layout.sequence == 1) CHECK_NEAR(idle.simulated, want, 1e-9);
  CHECK(idle.simulated >= want - 1e-9 && idle.simulated < 1);
}

/* A trace that cannot be written leaves no temporary file. */
static void failed_trace_leaves_no_file(const char *run_dir, const rn_profile *profile) {
  setenv("RETNET_FAULT", "file.write:1", 1);
  CHECK(rn_profile_trace(&err, run_dir, profile) == RN_ERR_IO);
  unsetenv("RETNET_FAULT");
  rn_err_clear(&err);
  if (rn_world_rank(profile->parallel->world) != 0) return;
  CHECK(!rn_file_exists(rn_path_join(run_dir, "trace.json.tmp").text));
}

/* Trains a new run for STEPS steps; losses_and_norms is [STEPS, 2]. */
static void train(rn_world *world, Retnet__Config *config, bool profiled,
                  double *losses_and_norms) {
  rn_run run;
  rn_profile profile;
  if (!CHECK_OK(&err, rn_run_create(&err, config, world, &run))) return;
  if (profiled)
    CHECK_OK(&err, rn_profile_start(&err, &run.parallel, &run.model.pipeline.schedule, &profile));
  for (int i = 0; i < STEPS; i++) {
    rn_step_result result = {0};
    CHECK_OK(&err, rn_step(&err, &run, &result));
    if (profiled) rn_profile_step(&profile);
    losses_and_norms[2 * i] = result.loss;
    losses_and_norms[2 * i + 1] = result.grad_norm;
  }
  if (profiled) {
    failed_trace_leaves_no_file(config->run->dir, &profile);
    CHECK_OK(&err, rn_profile_finish(&err, config->run->dir, &profile));
  }
  rn_spans_stop();
  idle_time_matches_the_schedule(&run);
  rn_run_destroy(&run);
}

/* A complete span of the trace; times in microseconds. */
typedef struct span {
  const char *name;
  double begin, end, inner;
  int unit; /* microbatch * SEGMENTS + segment, or -1 if it has no unit */
} span;

static int by_begin(const void *a, const void *b) {
  const span *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return (x->end < y->end) - (x->end > y->end);
}

static int read_spans(const json_t *events, int rank, span *out) {
  int count = 0;
  for (size_t i = 0; i < json_array_size(events); i++) {
    const json_t *e = json_array_get(events, i), *args = json_object_get(e, "args");
    const char *kind = json_string_value(json_object_get(e, "ph"));
    if (strcmp(kind, "X") != 0 || json_integer_value(json_object_get(e, "pid")) != rank) continue;
    const double begin = json_number_value(json_object_get(e, "ts"));
    span *s = &out[count++];
    *s = (span){.name = json_string_value(json_object_get(e, "name")),
                .begin = begin,
                .end = begin + json_number_value(json_object_get(e, "dur")),
                .unit = -1};
    if (args == NULL) continue;
    s->unit = SEGMENTS * (int)json_integer_value(json_object_get(args, "microbatch")) +
              (int)json_integer_value(json_object_get(args, "segment"));
  }
  return count;
}

/* Tolerance in microseconds: times in the trace are rounded to three decimals. */
static const double rounding = 0.01;

static void spans_nest(span *s, int count) {
  span *open[DEPTH] = {NULL};
  int depth = 0;
  qsort(s, (size_t)count, sizeof *s, by_begin);
  for (int i = 0; i < count; i++) {
    while (depth > 0 && s[i].begin >= open[depth - 1]->end - rounding) depth--;
    if (depth > 0) {
      CHECK(s[i].end <= open[depth - 1]->end + rounding);
      open[depth - 1]->inner += s[i].end - s[i].begin;
    }
    if (CHECK(depth < DEPTH)) open[depth++] = &s[i];
  }
  for (int i = 0; i < count; i++) CHECK(s[i].inner <= s[i].end - s[i].begin + count * rounding);
}

static int count_of(const span *s, int count, const char *name, int unit) {
  int found = 0;
  for (int i = 0; i < count; i++) found += strcmp(s[i].name, name) == 0 && s[i].unit == unit;
  return found;
}

static void trace_is_complete(int ranks) {
  static const char *const tasks[] = {"forward", "backward", "weight"};
  json_error_t where;
  json_t *trace = json_load_file(temp_path("trace.json"), JSON_REJECT_DUPLICATES, &where);
  if (!CHECK(trace != NULL)) return;
  const json_t *events = json_object_get(trace, "traceEvents");
  span *s = calloc(json_array_size(events) + 1, sizeof *s);
  for (int rank = 0; rank < ranks; rank++) {
    const int count = read_spans(events, rank, s);
    spans_nest(s, count);
    CHECK_EQUAL(count_of(s, count, "step", -1), RN_PROFILE_TRACED);
    for (int unit = 0; unit < SEQUENCES * SEGMENTS; unit++) {
      for (int t = 0; t < 3; t++) {
        CHECK_EQUAL(count_of(s, count, tasks[t], unit), RN_PROFILE_TRACED);
      }
    }
  }
  free(s);
  json_decref(trace);
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  Retnet__Config *config = NULL;
  double plain[2 * STEPS] = {0}, profiled[2 * STEPS] = {0};
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  const int ranks = rn_world_size(world);
  rn_log_setup(rn_world_rank(world) != 0, false);
  load(ranks, &config);
  train(world, config, false, plain);
  train(world, config, true, profiled);
  CHECK(memcmp(plain, profiled, sizeof plain) == 0 && plain[0] > 0);
  if (rn_world_rank(world) == 0) trace_is_complete(ranks);
  int64_t failed = check_failures();
  CHECK_OK(&err, rn_world_max(&err, world, &failed, 1));
  const int result = check_result();
  rn_options_free(&config);
  return rn_world_finish(&world, RN_OK, &err) + (failed > 0 ? 1 : result);
}
