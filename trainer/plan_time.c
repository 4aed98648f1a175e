#include "trainer/plan_time.h"

#include <math.h>
#include <stdlib.h>

#include "proto/arena.h"
#include "proto/span.h"
#include "trainer/schedule_simulate.h"
#include "trainer/shapes.h"
#include "trainer/step.h"

/* Rows of a measured unit at most: beyond, time goes with rows. */
enum { MOST_ROWS = 2048, WARM_UP = 1, STEPS = 4 };

/* Of one unit and what follows, with so many layers. */
typedef struct sample {
  rn_task_times unit;
  double zero_s, update_s; /* of all weights there are */
  double parameters;
} sample;

/* ---- measuring ---- */

/* The plan's unit as the whole work of one rank. */
typedef struct small_config {
  Retnet__Config config;
  Retnet__Run run;
  Retnet__Model model;
  Retnet__Data data;
  Retnet__Parallel parallel;
} small_config;

static int smaller(int a, int b) {
  return a < b ? a : b;
}

static void make_small(const Retnet__Config *config, const rn_plan *plan, const rn_spec *spec,
                       int layers, small_config *out) {
  const rn_layout *l = &plan->layout;
  const int tokens = smaller(rn_shapes_tokens(config, l), MOST_ROWS);
  rn_spec small = *spec;
  *out = (small_config){*config, *config->run, *config->model, *config->data, *config->parallel};
  out->config.run = &out->run;
  out->config.model = &out->model;
  out->config.data = &out->data;
  out->config.parallel = &out->parallel;
  small.layers = layers;
  rn_spec_give_keys(&small, &out->config);
  out->model.preset = NULL;
  out->run.leaf = l->leaf;
  out->data.dir = NULL;
  out->data.carry_state = false;
  out->data.sequence_length = tokens;
  out->data.batch_sequences = smaller(l->microbatch, (MOST_ROWS + tokens - 1) / tokens);
  out->parallel.data = out->parallel.pipeline = out->parallel.sequence = 1;
  out->parallel.segments = 1;
  out->parallel.microbatch = out->data.batch_sequences;
  out->parallel.threads = plan->machine.threads;
  out->parallel.n_layer_split = 0;
  if (out->parallel.split_weight == RETNET__SWITCH__SWITCH_AUTO &&
      config->train->recompute == RETNET__RECOMPUTE__RECOMPUTE_NONE) {
    out->parallel.split_weight =
        l->pipeline > 1 ? RETNET__SWITCH__SWITCH_ON : RETNET__SWITCH__SWITCH_OFF;
  }
}

/* The more layers, the less the machine's moods count in the difference. */
enum { FEW_LAYERS = 1, MORE_LAYERS = 3 };

/* Totals of the spans that a step's parts lie in. */
static sample look_at_spans(void) {
  return (sample){.unit = {rn_spans_total_s("forward"), rn_spans_total_s("backward"),
                           rn_spans_total_s("weight")},
                  .zero_s = rn_spans_total_s("zero gradients"),
                  .update_s = rn_spans_total_s("gradient norm") + rn_spans_total_s("update")};
}

/* One step's times, of which the least so far are kept. */
static rn_status time_step(rn_err *err, rn_run *run, sample *least) {
  rn_step_result result;
  RN_TRY(err, rn_spans_start(err, 0));
  const rn_status status = rn_step(err, run, &result);
  const sample now = look_at_spans();
  rn_spans_stop();
  least->unit.forward_s = fmin(least->unit.forward_s, now.unit.forward_s);
  least->unit.backward_s = fmin(least->unit.backward_s, now.unit.backward_s);
  least->unit.weight_s = fmin(least->unit.weight_s, now.unit.weight_s);
  least->zero_s = fmin(least->zero_s, now.zero_s);
  least->update_s = fmin(least->update_s, now.update_s);
  return status;
}

static rn_status time_steps(rn_err *err, rn_run *run, sample *out) {
  rn_step_result result;
  const double never = INFINITY;
  *out = (sample){.unit = {never, never, never},
                  .zero_s = never,
                  .update_s = never,
                  .parameters = (double)run->total};
  for (int i = 0; i < WARM_UP; i++) RN_TRY(err, rn_step(err, run, &result));
  for (int i = 0; i < STEPS; i++) RN_TRY(err, time_step(err, run, out));
  return RN_OK;
}

static rn_status measure(rn_err *err, const Retnet__Config *config, rn_world *alone,
                         const rn_plan *plan, const rn_spec *spec, int layers, sample *out) {
  small_config small;
  rn_run run;
  make_small(config, plan, spec, layers, &small);
  RN_TRY(err, rn_run_create(err, &small.config, alone, &run));
  rn_status status = time_steps(err, &run, out);
  rn_run_destroy(&run);
  return status;
}

/* The slowest rank's times, to the nanosecond. */
static rn_status slowest(rn_err *err, rn_world *world, sample *s) {
  double *const values[] = {&s->unit.forward_s, &s->unit.backward_s, &s->unit.weight_s, &s->zero_s,
                            &s->update_s};
  enum { VALUES = sizeof values / sizeof values[0] };
  int64_t most[VALUES];
  for (int i = 0; i < VALUES; i++) most[i] = (int64_t)(1e9 * *values[i]);
  RN_TRY(err, rn_world_max(err, world, most, VALUES));
  for (int i = 0; i < VALUES; i++) *values[i] = 1e-9 * (double)most[i];
  return RN_OK;
}

/* ---- foretelling ---- */

/* One layer, and what lies at both ends of the model: embedding and head. */
typedef struct parts {
  rn_task_times layer, ends;
} parts;

static parts parts_of(const sample *few, const sample *more) {
  const rn_task_times a = few->unit, b = more->unit;
  const double layers = MORE_LAYERS - FEW_LAYERS;
  const rn_task_times layer = {fmax(0, b.forward_s - a.forward_s) / layers,
                               fmax(0, b.backward_s - a.backward_s) / layers,
                               fmax(0, b.weight_s - a.weight_s) / layers};
  return (parts){layer,
                 {fmax(0, a.forward_s - layer.forward_s), fmax(0, a.backward_s - layer.backward_s),
                  fmax(0, a.weight_s - layer.weight_s)}};
}

/* A unit of stage `stage`, of `scale` times the measured rows; the head is what the ends cost. */
static rn_task_times times_of_stage(const rn_plan *plan, const parts *p, int stage, double scale) {
  const double layers = plan->memory.first[stage + 1] - plan->memory.first[stage];
  const double ends = stage == plan->layout.pipeline - 1 ? 1 : 0;
  return (rn_task_times){scale * (layers * p->layer.forward_s + ends * p->ends.forward_s),
                         scale * (layers * p->layer.backward_s + ends * p->ends.backward_s),
                         scale * (layers * p->layer.weight_s + ends * p->ends.weight_s)};
}

static double busy_s(rn_task_times t, double units) {
  return units * (t.forward_s + t.backward_s + t.weight_s);
}

/* Lists and times of all stages, and what the simulator makes of them. */
static rn_status simulate(rn_err *err, rn_schedule_shape shape, const rn_plan *plan, const parts *p,
                          double scale, rn_plan_time *out) {
  const double units = (double)shape.microbatches * shape.segments;
  const size_t stages = (size_t)shape.stages;
  rn_task_list *list = NULL;
  rn_task_times *times = NULL;
  rn_simulated_stage *stage = NULL;
  double total_s = 0;
  rn_status status = rn_alloc(err, "schedule", stages, sizeof *list, &list);
  if (status == RN_OK) status = rn_alloc(err, "schedule", stages, sizeof *times, &times);
  if (status == RN_OK) status = rn_alloc(err, "schedule", stages, sizeof *stage, &stage);
  for (int s = 0; status == RN_OK && s < shape.stages; s++) {
    times[s] = times_of_stage(plan, p, s, scale);
    out->units_s = fmax(out->units_s, busy_s(times[s], units));
    status = rn_schedule_make(err, shape, s, &list[s]);
  }
  const rn_simulation sim = {.shape = shape, .list = list, .times = times, .ranks = 1, .layers = 1};
  if (status == RN_OK) status = rn_schedule_simulate(err, &sim, &total_s, stage);
  out->idle_s = fmax(0, total_s - out->units_s);
  for (int s = 0; list != NULL && s < shape.stages; s++) rn_schedule_destroy(&list[s]);
  free(list);
  free(times);
  free(stage);
  return status;
}

/* Memory passes: an update reads and writes seven numbers a weight; a sum over ranks moves about
 * eleven, copies through shared memory and the weights' way back counted. */
static void add_passes(const rn_plan *plan, const sample *more, rn_plan_time *out) {
  const int replicas = plan->layout.data * plan->layout.sequence;
  double most = 0;
  for (int s = 0; s < plan->layout.pipeline; s++) {
    most = fmax(most, (double)plan->memory.parameters[s]);
  }
  out->update_s = most * (more->zero_s + more->update_s / replicas) / more->parameters;
  out->sums_s = most * (replicas - 1) / replicas * more->update_s / more->parameters * 11 / 7;
}

static rn_status foretell(rn_err *err, const Retnet__Config *config, const rn_plan *plan,
                          const sample *few, const sample *more, rn_plan_time *out) {
  const rn_layout *l = &plan->layout;
  const int64_t share = rn_range_count(rn_cut(config->data->batch_sequences, l->data, 0));
  const rn_schedule_shape shape =
      rn_shapes_pipeline(config, l, 0, (rn_range){0, 1}, share).schedule;
  const int tokens = rn_shapes_tokens(config, l), measured = smaller(tokens, MOST_ROWS);
  const double rows =
      (double)smaller(l->microbatch, (MOST_ROWS + measured - 1) / measured) * measured;
  const double whole = (double)share * tokens / shape.microbatches;
  const parts p = parts_of(few, more);
  *out = (rn_plan_time){0};
  add_passes(plan, more, out);
  return simulate(err, shape, plan, &p, whole / rows, out);
}

rn_status rn_plan_time_look(rn_err *err, const Retnet__Config *config, rn_world *world,
                            const rn_plan *plan, const rn_spec *spec, rn_plan_time *out) {
  rn_world *alone = NULL;
  sample few, more;
  RN_TRY(err, rn_world_split(err, world, rn_world_rank(world), &alone));
  rn_status status = measure(err, config, alone, plan, spec, FEW_LAYERS, &few);
  if (status == RN_OK) status = measure(err, config, alone, plan, spec, MORE_LAYERS, &more);
  rn_world_close(&alone);
  RN_TRY(err, rn_agree(err, world, status));
  RN_TRY(err, slowest(err, world, &few));
  RN_TRY(err, slowest(err, world, &more));
  return rn_agree(err, world, foretell(err, config, plan, &few, &more, out));
}
