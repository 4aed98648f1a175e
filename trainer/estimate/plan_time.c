#include "trainer/estimate/plan_time.h"

#include <math.h>
#include <stdlib.h>

#include "proto/base/arena.h"
#include "trainer/parallel/shapes.h"

/*
 * Maximum of (number of units) x (number of stages) in a simulation. A simulation then takes at
 * most a few tens of milliseconds and a few tens of MiB.
 */
enum { MAX_SIMULATED = 1 << 17 };

/*
 * Returns the times of one unit on stage `stage`, if a unit has `scale` times as many rows as the
 * sample. The time of the embedding and the head is attributed to the last stage.
 */
static rn_task_times times_of_stage(const rn_plan *plan, const rn_plan_sample *p, int stage,
                                    double scale) {
  const int first = plan->memory.first[stage], last = plan->memory.first[stage + 1];
  const int attending = rn_spec_attention_layers(&p->spec, first, last);
  const double layers = last - first - attending, attention = attending;
  const double has_ends = stage == plan->layout.pipeline - 1 ? 1 : 0;
  const rn_task_times *r = &p->layer, *a = &p->attention_layer, *ends = &p->embed_head;
  return (rn_task_times){
      scale * (layers * r->forward_s + attention * a->forward_s + has_ends * ends->forward_s),
      scale * (layers * r->backward_s + attention * a->backward_s + has_ends * ends->backward_s),
      scale * (layers * r->weight_s + attention * a->weight_s + has_ends * ends->weight_s)};
}

static double busy_s(rn_task_times t, double units) {
  return units * (t.forward_s + t.backward_s + t.weight_s);
}

static double units_of(rn_pipeline_schedule_shape shape) {
  return (double)shape.microbatches * shape.segments;
}

/*
 * Returns a schedule with the same number of stages, but with fewer micro-batches and segments, so
 * that it is small enough to simulate. Its segments are longer by a factor of *longer.
 *
 * Fewer micro-batches do not change the idle time, which arises only during the first and the last
 * few of them. Fewer segments lengthen each segment; if there are more segments than stages, the
 * idle time is proportional to the length of a segment.
 */
static rn_pipeline_schedule_shape shorten(rn_pipeline_schedule_shape shape, double *longer) {
  const int limit = MAX_SIMULATED / shape.stages;
  const int segments = shape.segments;
  if (shape.segments > limit / 2) shape.segments = limit / 2 > 1 ? limit / 2 : 1;
  const int microbatches = limit / shape.segments;
  if (shape.microbatches > microbatches) shape.microbatches = microbatches > 1 ? microbatches : 1;
  *longer = (double)segments / shape.segments;
  return shape;
}

/* Simulates the schedules of all stages and computes the idle time of the most loaded stage. */
static rn_status simulate(rn_err *err, rn_pipeline_schedule_shape shape, const rn_plan *plan,
                          const rn_plan_sample *p, double scale, double *idle_s) {
  const size_t stages = (size_t)shape.stages;
  rn_pipeline_schedule *list = NULL;
  rn_task_times *times = NULL;
  rn_simulated_stage *stage = NULL;
  double total_s = 0, max_s = 0;
  rn_status status = rn_alloc(err, "schedule", stages, sizeof *list, &list);
  if (status == RN_OK) status = rn_alloc(err, "schedule", stages, sizeof *times, &times);
  if (status == RN_OK) status = rn_alloc(err, "schedule", stages, sizeof *stage, &stage);
  for (int s = 0; status == RN_OK && s < shape.stages; s++) {
    times[s] = times_of_stage(plan, p, s, scale);
    max_s = fmax(max_s, busy_s(times[s], units_of(shape)));
    status = rn_pipeline_schedule_create(err, shape, s, &list[s]);
  }
  const rn_simulation sim = {.shape = shape, .list = list, .times = times, .ranks = 1, .layers = 1};
  if (status == RN_OK) status = rn_pipeline_schedule_simulate(err, &sim, &total_s, stage);
  *idle_s = fmax(0, total_s - max_s);
  for (int s = 0; list != NULL && s < shape.stages; s++) rn_pipeline_schedule_destroy(&list[s]);
  free(list);
  free(times);
  free(stage);
  return status;
}

/*
 * Computes the time of the update, and that of the reduce-scatter of gradients and the all-gather
 * of weights. The latter is derived from the former by memory traffic: an update reads or writes
 * seven values per weight; reduce-scatter and all-gather together move about eleven values per
 * weight, including copies through shared memory.
 */
static void add_passes(const rn_plan *plan, const rn_plan_sample *p, rn_plan_time *out) {
  const int replicas = plan->layout.data * plan->layout.sequence;
  double max = 0;
  for (int s = 0; s < plan->layout.pipeline; s++) {
    max = fmax(max, (double)plan->memory.parameters[s]);
  }
  out->update_s = max * (p->zero_s + p->update_s / replicas);
  out->sums_s = max * (replicas - 1) / replicas * p->update_s * 11 / 7;
}

/* Computes the time that the exchange of keys and values takes on the stage that exchanges the most
 * bytes. The time per byte of memory traffic is that of the update, which reads or writes seven
 * fp32 values per weight. Each exchanged byte is copied, that is, read once and written once. */
static rn_status add_rows(rn_err *err, const Retnet__Config *config, const rn_plan *plan,
                          const rn_plan_sample *p, rn_plan_time *out) {
  enum { VALUES_OF_UPDATE = 7, PASSES_OF_COPY = 2 };
  const double byte_s = p->update_s / (VALUES_OF_UPDATE * sizeof(float));
  const int64_t share = rn_range_count(rn_cut(config->data->batch_sequences, plan->layout.data, 0));
  for (int s = 0; s < plan->layout.pipeline; s++) {
    const rn_row_source_shape shape = {.layout = plan->layout,
                                       .layers = {plan->memory.first[s], plan->memory.first[s + 1]},
                                       .sequences = plan->layout.microbatch,
                                       .tokens = config->data->sequence_length,
                                       .backward = true};
    double bytes = 0;
    RN_TRY(err, rn_row_source_traffic(err, &p->spec, shape, &bytes));
    const double rows_s = (double)share * bytes * PASSES_OF_COPY * byte_s;
    if (rows_s > out->rows_s) out->rows_s = rows_s;
  }
  return RN_OK;
}

rn_status rn_plan_time_estimate(rn_err *err, const Retnet__Config *config, const rn_plan *plan,
                                const rn_plan_sample *sample, rn_plan_time *out) {
  const rn_layout *l = &plan->layout;
  const int64_t share = rn_range_count(rn_cut(config->data->batch_sequences, l->data, 0));
  const rn_pipeline_schedule_shape shape =
      rn_shapes_pipeline(config, l, 0, (rn_range){0, 1}, share).schedule;
  const double rows = (double)share * rn_shapes_tokens(config, l) / shape.microbatches;
  double longer;
  const rn_pipeline_schedule_shape simulated = shorten(shape, &longer);
  *out = (rn_plan_time){0};
  add_passes(plan, sample, out);
  RN_TRY(err, add_rows(err, config, plan, sample, out));
  for (int s = 0; s < shape.stages; s++) {
    const rn_task_times t = times_of_stage(plan, sample, s, rows / sample->rows);
    const double busy = busy_s(t, units_of(shape));
    if (busy > out->units_s) out->units_s = busy; /* not fmax(): it crashes GCC 12.2 for aarch64 */
  }
  return simulate(err, simulated, plan, sample, longer * rows / sample->rows, &out->idle_s);
}
