/* Simulates every pipeline of up to 8 stages, 16 micro-batches, 16 segments and 8 ranks per
 * sequence. Checks that all tasks run in a valid order, that memory stays within the documented
 * bounds, that one buffer at each end of a message suffices, and that the idle time equals the
 * formulas. Invalid task lists must be detected. */
#include <stdlib.h>

#include "proto/base/range.h"
#include "tests/support/check.h"
#include "trainer/schedule/schedule_simulate.h"

enum { MAX_STAGES = 8, MAX_MICROBATCHES = 16, MAX_SEGMENTS = 16, MAX_RANKS = 8, BUFFERS = 2 };

typedef struct simulated {
  double total_s, busy_s;
  rn_simulated_stage stage[MAX_STAGES];
} simulated;

static rn_status run(rn_err *err, rn_simulation sim, rn_task_times times, simulated *out) {
  rn_pipeline_schedule list[MAX_STAGES] = {{0}};
  rn_task_times all[MAX_STAGES];
  rn_status status = RN_OK;
  for (int s = 0; s < sim.shape.stages && status == RN_OK; s++) {
    all[s] = times;
    status = rn_pipeline_schedule_create(err, sim.shape, s, &list[s]);
  }
  sim.list = list;
  sim.times = all;
  if (status == RN_OK) status = rn_pipeline_schedule_simulate(err, &sim, &out->total_s, out->stage);
  for (int s = 0; s < sim.shape.stages; s++) rn_pipeline_schedule_destroy(&list[s]);
  out->busy_s = sim.shape.microbatches * sim.shape.segments *
                (times.forward_s + times.backward_s + times.weight_s);
  return status;
}

typedef void check_shape(rn_pipeline_schedule_shape shape);

static void for_all_shapes(check_shape *check) {
  for (int p = 1; p <= MAX_STAGES; p++) {
    for (int m = 1; m <= MAX_MICROBATCHES; m++) {
      for (int k = 1; k <= MAX_SEGMENTS; k++) check((rn_pipeline_schedule_shape){p, m, k, true});
    }
  }
}

/* Checks the idle time against the formulas, for W <= F. With split_weight, there is a formula for
 * many micro-batches and one for a single micro-batch; for numbers in between, only bounds are
 * known. */
static void check_idle(rn_pipeline_schedule_shape shape, rn_task_times t, double idle_s) {
  const int behind = shape.stages - 1;
  const double hidden = behind * (t.forward_s + t.backward_s - t.weight_s);
  const double open = behind * (t.forward_s + t.backward_s);
  if (!shape.split_weight) {
    CHECK_NEAR(idle_s, open + behind * t.weight_s, 1e-9);
  } else if ((shape.microbatches - 1) * shape.segments >= behind) {
    CHECK_NEAR(idle_s, hidden, 1e-9);
  } else if (shape.microbatches == 1) {
    CHECK_NEAR(idle_s, open, 1e-9);
  } else {
    CHECK(hidden - 1e-9 <= idle_s && idle_s <= open + 1e-9);
  }
}

static void idle_and_memory_are_as_stated(rn_pipeline_schedule_shape shape) {
  static const rn_task_times times[] = {{1, 1, 1}, {1, 1.25, 0.75}, {1, 2, 0.75}, {2, 2.5, 1.75}};
  const int units = shape.microbatches * shape.segments;
  for (int split = 0; split <= 1; split++) {
    shape.split_weight = split != 0;
    for (int i = 0; i < 4; i++) {
      rn_err err = {0};
      simulated got;
      const rn_simulation sim = {.shape = shape, .ranks = 1, .layers = 1};
      if (!CHECK_OK(&err, run(&err, sim, times[i], &got))) return;
      check_idle(shape, times[i], got.total_s - got.busy_s);
      for (int s = 0; s < shape.stages; s++) {
        CHECK_NEAR(got.stage[s].busy_s, got.busy_s, 1e-9);
        CHECK_EQUAL(got.stage[s].pool,
                    rn_smaller(units, shape.segments + shape.stages - 1 - (split != 0 ? 0 : s)));
      }
    }
  }
}

/* Checks that one buffer at each end of a message suffices: with unlimited buffers a step is not
 * faster. */
static void striped_ranks_come_to_the_end(rn_pipeline_schedule_shape shape) {
  const rn_task_times times = {1, 1.25, 0.75};
  for (int ranks = 1; ranks <= MAX_RANKS; ranks++) {
    rn_err err = {0};
    simulated got, free_of_limits;
    rn_simulation sim = {.shape = shape,
                         .ranks = ranks,
                         .layers = 1,
                         .rows_s = 0.01,
                         .state_s = 0.01,
                         .buffers = BUFFERS};
    if (!CHECK_OK(&err, run(&err, sim, times, &got))) return;
    if (ranks > 2) continue;
    sim.buffers = 0;
    if (!CHECK_OK(&err, run(&err, sim, times, &free_of_limits))) return;
    CHECK_NEAR(got.total_s, free_of_limits.total_s, 1e-9);
  }
}

static void several_layers_wait_one_by_one(void) {
  rn_err err = {0};
  simulated got;
  const rn_task_times times = {1, 1, 1};
  rn_simulation sim = {
      .shape = {3, 4, 5, true}, .ranks = 4, .layers = 6, .state_s = 0.5, .buffers = BUFFERS};
  CHECK_OK(&err, run(&err, sim, times, &got));
  const double slow_s = got.total_s;
  sim.state_s = 0;
  CHECK_OK(&err, run(&err, sim, times, &got));
  CHECK_NEAR(got.total_s - got.busy_s, 2, 1e-9);
  CHECK(slow_s > got.total_s);
  sim.shape = (rn_pipeline_schedule_shape){1, 1, 1, true};
  sim.state_s = 0.5;
  CHECK_OK(&err, run(&err, sim, times, &got));
  CHECK_NEAR(got.total_s, 3 + 2 * 3 * 0.5, 1e-9);
}

typedef void spoil(rn_pipeline_schedule *list);

static rn_task *task_of(rn_pipeline_schedule *list, rn_task_kind kind, int number) {
  rn_task *t = list->task;
  for (; t->kind != kind || number > 0; t++) number -= t->kind == kind;
  return t;
}

static void swap(rn_task *a, rn_task *b) {
  const rn_task t = *a;
  *a = *b;
  *b = t;
}

static void backward_before_forward(rn_pipeline_schedule *list) {
  swap(task_of(list, RN_TASK_FORWARD, 0), task_of(list, RN_TASK_BACKWARD, 0));
}

static void weight_before_backward(rn_pipeline_schedule *list) {
  swap(task_of(list, RN_TASK_WEIGHT, 0), task_of(list, RN_TASK_BACKWARD, 0));
}

static void forwards_in_another_order(rn_pipeline_schedule *list) {
  swap(task_of(list, RN_TASK_FORWARD, 0), task_of(list, RN_TASK_FORWARD, 1));
}

static void a_unit_twice(rn_pipeline_schedule *list) {
  *task_of(list, RN_TASK_WEIGHT, 1) = *task_of(list, RN_TASK_WEIGHT, 0);
}

static void an_end_too_early(rn_pipeline_schedule *list) {
  list->count--;
}

/* Checks that a mistake in the task list of stage 1 of three is reported. */
static void mistake_is_found(spoil *spoiled, const char *words) {
  rn_err err = {0};
  const rn_pipeline_schedule_shape shape = {3, 3, 2, true};
  rn_pipeline_schedule list[3];
  rn_task_times times[3] = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}};
  rn_simulated_stage stage[3];
  double total_s;
  for (int s = 0; s < 3; s++) CHECK_OK(&err, rn_pipeline_schedule_create(&err, shape, s, &list[s]));
  spoiled(&list[1]);
  const rn_simulation sim = {
      .shape = shape, .list = list, .times = times, .ranks = 2, .layers = 1, .buffers = BUFFERS};
  CHECK_FAILS(&err, RN_ERR_MISMATCH, words,
              rn_pipeline_schedule_simulate(&err, &sim, &total_s, stage));
  for (int s = 0; s < 3; s++) rn_pipeline_schedule_destroy(&list[s]);
}

static void mistakes_are_found(void) {
  mistake_is_found(backward_before_forward, "never becomes ready: the schedule deadlocks");
  mistake_is_found(weight_before_backward, "stage 1|weight|out of order");
  mistake_is_found(forwards_in_another_order, "stage 1|another unit");
  mistake_is_found(a_unit_twice, "stage 1|weight|repeated");
  mistake_is_found(an_end_too_early, "stage 1|weight|missing");
}

int main(void) {
  for_all_shapes(idle_and_memory_are_as_stated);
  for_all_shapes(striped_ranks_come_to_the_end);
  several_layers_wait_one_by_one();
  mistakes_are_found();
  return check_result();
}
