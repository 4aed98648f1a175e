/*
 * Compares the measured idle time of the pipeline stages with that of the schedule simulator, given
 * the measured times of the forward, backward-input and backward-weight tasks. A difference shows
 * waiting that the schedule does not explain.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/log.h"
#include "proto/base/quantile.h"
#include "proto/base/span.h"
#include "trainer/profile/profile.h"
#include "trainer/schedule/schedule_simulate.h"

enum { KINDS = RN_TASK_WEIGHT + 1 };

/* ---- one rank ---- */

static bool is_called(const rn_span_path *path, const char *name) {
  return strcmp(path->name, name) == 0;
}

/* Returns the total time of the spans of one kind of task, excluding the waits inside them. */
static double busy_s(const rn_spans *spans, rn_task_kind kind) {
  const char *name = rn_task_kind_name(kind);
  double sum_s = rn_spans_total_s(name);
  for (int i = 0; i < spans->paths; i++) {
    if (strncmp(spans->path[i].name, "wait", 4) != 0) continue;
    for (int p = spans->path[i].parent; p >= 0; p = spans->path[p].parent) {
      if (is_called(&spans->path[p], name)) sum_s -= spans->path[i].total_s;
    }
  }
  return sum_s;
}

void rn_profile_sample_step(rn_profile *profile) {
  rn_profile_sample now = {.pipeline_s = rn_spans_total_s("pipeline")};
  for (int k = 0; k < KINDS; k++) now.busy_s[k] = busy_s(rn_spans_get(), (rn_task_kind)k);
  rn_profile_sample *out = &profile->sample[profile->steps % RN_PROFILE_STEPS];
  *out = now;
  out->pipeline_s -= profile->before.pipeline_s;
  for (int k = 0; k < KINDS; k++) out->busy_s[k] -= profile->before.busy_s[k];
  profile->before = now;
}

/* ---- the pipeline ---- */

/* Data that each rank sends to rank 0. */
typedef struct sent {
  int data, stage;
  rn_profile_sample sample[RN_PROFILE_STEPS];
} sent;

/* One step of the pipeline that rank 0 belongs to: task times by stage, as means over the ranks of
 * the stage. */
typedef struct step_times {
  double total_s;
  rn_task_times *sum; /* [stages], summed over the tasks of each kind */
} step_times;

static void collect_step(const rn_profile *profile, const sent *all, int step, step_times *out) {
  const rn_grid *grid = profile->parallel->grid;
  const int stages = profile->schedule->stages, ranks = rn_grid_sequence_size(grid);
  out->total_s = 0;
  memset(out->sum, 0, (size_t)stages * sizeof *out->sum);
  for (int r = 0; r < rn_world_size(profile->parallel->world); r++) {
    if (all[r].data != rn_grid_data(grid)) continue;
    const rn_profile_sample *s = &all[r].sample[step];
    rn_task_times *sum = &out->sum[all[r].stage];
    if (s->pipeline_s > out->total_s) out->total_s = s->pipeline_s;
    sum->forward_s += s->busy_s[RN_TASK_FORWARD] / ranks;
    sum->backward_s += s->busy_s[RN_TASK_BACKWARD] / ranks;
    sum->weight_s += s->busy_s[RN_TASK_WEIGHT] / ranks;
  }
}

static double idle_share(const step_times *s, int stages) {
  double busy = 0;
  for (int i = 0; i < stages; i++) {
    busy += s->sum[i].forward_s + s->sum[i].backward_s + s->sum[i].weight_s;
  }
  return 1 - busy / stages / s->total_s;
}

/* Input and output of the simulator: schedules, task times and results of the stages. */
typedef struct model {
  rn_pipeline_schedule *list;
  rn_task_times *times;
  rn_simulated_stage *stage;
} model;

static void destroy(model *m, int stages) {
  for (int i = 0; m->list != NULL && i < stages; i++) rn_pipeline_schedule_destroy(&m->list[i]);
  free(m->list);
  free(m->times);
  free(m->stage);
}

static rn_status make(rn_err *err, rn_pipeline_schedule_shape shape, model *m) {
  const size_t stages = (size_t)shape.stages;
  RN_TRY(err, rn_alloc(err, "simulation", stages, sizeof *m->list, &m->list));
  RN_TRY(err, rn_alloc(err, "simulation", stages, sizeof *m->times, &m->times));
  RN_TRY(err, rn_alloc(err, "simulation", stages, sizeof *m->stage, &m->stage));
  for (int i = 0; i < shape.stages; i++) {
    RN_TRY(err, rn_pipeline_schedule_create(err, shape, i, &m->list[i]));
  }
  return RN_OK;
}

/* Simulates the idle fraction for the measured task times, assuming that messages take no time. */
static rn_status simulate(rn_err *err, const rn_profile *profile, model *m, const step_times *s,
                          double *idle) {
  const rn_pipeline_schedule_shape shape = *profile->schedule;
  const double units = (double)shape.microbatches * shape.segments;
  const rn_simulation sim = {.shape = shape,
                             .list = m->list,
                             .times = m->times,
                             .ranks = rn_grid_sequence_size(profile->parallel->grid),
                             .layers = (int)rn_range_count(profile->parallel->layers)};
  double total_s = 0, busy_s_sum = 0;
  for (int i = 0; i < shape.stages; i++) {
    m->times[i] = (rn_task_times){s->sum[i].forward_s / units, s->sum[i].backward_s / units,
                                  s->sum[i].weight_s / units};
  }
  RN_TRY(err, rn_pipeline_schedule_simulate(err, &sim, &total_s, m->stage));
  for (int i = 0; i < shape.stages; i++) busy_s_sum += m->stage[i].busy_s;
  *idle = 1 - busy_s_sum / shape.stages / total_s;
  return RN_OK;
}

/* Workspace of a comparison. */
typedef struct comparison {
  model model;
  step_times times;
} comparison;

static rn_status compare(rn_err *err, const rn_profile *profile, const sent *all, int steps,
                         comparison *c, rn_profile_idle *out) {
  const int stages = profile->schedule->stages;
  const rn_task_times *times = c->model.times;
  double idle[RN_PROFILE_STEPS], simulated[RN_PROFILE_STEPS];
  for (int i = 0; i < steps; i++) {
    collect_step(profile, all, i, &c->times);
    idle[i] = idle_share(&c->times, stages);
    RN_TRY(err, simulate(err, profile, &c->model, &c->times, &simulated[i]));
  }
  *out = (rn_profile_idle){rn_median(idle, steps), rn_median(simulated, steps)};
  rn_log_info(
      "pipeline: stages were idle %.1f %% of the time in the last %d steps (simulated: %.1f %%)",
      100 * out->seen, steps, 100 * out->simulated);
  for (int i = 0; i < stages; i++) {
    rn_log_info(
        "  stage %-3d forward %.3f ms, backward-input %.3f ms, backward-weight %.3f ms per unit", i,
        1e3 * times[i].forward_s, 1e3 * times[i].backward_s, 1e3 * times[i].weight_s);
  }
  return RN_OK;
}

static rn_status show(rn_err *err, const rn_profile *profile, const sent *all,
                      rn_profile_idle *idle) {
  const int64_t steps = profile->steps < RN_PROFILE_STEPS ? profile->steps : RN_PROFILE_STEPS;
  const size_t stages = (size_t)profile->schedule->stages;
  comparison c = {0};
  rn_status status = make(err, *profile->schedule, &c.model);
  if (status == RN_OK) {
    status = rn_alloc(err, "stage times", stages, sizeof *c.times.sum, &c.times.sum);
  }
  if (status == RN_OK && steps > 0) status = compare(err, profile, all, (int)steps, &c, idle);
  free(c.times.sum);
  destroy(&c.model, (int)stages);
  return status;
}

rn_status rn_profile_pipeline(rn_err *err, const rn_profile *profile, rn_profile_idle *idle) {
  rn_world *world = profile->parallel->world;
  const rn_grid *grid = profile->parallel->grid;
  sent own = {.data = rn_grid_data(grid), .stage = rn_grid_pipeline(grid)};
  char *all = NULL;
  size_t *sizes = NULL;
  *idle = (rn_profile_idle){0};
  if (profile->schedule->stages == 1) return RN_OK;
  memcpy(own.sample, profile->sample, sizeof own.sample);
  RN_TRY(err, rn_world_gather_bytes(err, world, &own, sizeof own, &all, &sizes));
  rn_status status = RN_OK;
  if (rn_world_rank(world) == 0) {
    status = show(err, profile, (const sent *)(const void *)all, idle);
  }
  free(all);
  free(sizes);
  return rn_agree(err, world, status);
}
