/* Checks that every unit (a segment of a micro-batch) runs forward, backward-input and
 * backward-weight once, in the documented order. Its activations must stay in their slot until its
 * last task, and no stage may need more slots than documented. */
#include <stdlib.h>

#include "proto/base/range.h"
#include "tests/support/check.h"
#include "trainer/schedule/pipeline_schedule.h"

enum { MAX_STAGES = 8, MAX_MICROBATCHES = 16, MAX_SEGMENTS = 16 };

/* Checks a task list. next[k] is the number of tasks of kind k begun so far; slot[i] is 1 + the
 * index of the unit whose activations are in slot i, or 0 if the slot is free. */
static void check_list(rn_pipeline_schedule_shape shape, int stage,
                       const rn_pipeline_schedule *list) {
  const int units = shape.microbatches * shape.segments;
  int next[3] = {0}, live = 0, peak = 0;
  int slot[MAX_SEGMENTS + MAX_STAGES] = {0};
  for (int i = 0; i < list->count; i++) {
    const rn_task *t = &list->task[i];
    const int place = t->kind == RN_TASK_FORWARD ? t->segment : shape.segments - 1 - t->segment;
    CHECK_EQUAL(t->microbatch * shape.segments + place, next[t->kind]++);
    const int unit = t->microbatch * shape.segments + t->segment + 1;
    if (!CHECK(0 <= t->activations && t->activations < list->pool)) return;
    CHECK_EQUAL(slot[t->activations], t->kind == RN_TASK_FORWARD ? 0 : unit);
    if (t->kind == RN_TASK_FORWARD) {
      slot[t->activations] = unit;
      live++;
    } else if ((t->kind == RN_TASK_WEIGHT) == shape.split_weight) {
      slot[t->activations] = 0;
      live--;
    }
    if (live > peak) peak = live;
    CHECK(next[RN_TASK_WEIGHT] <= next[RN_TASK_BACKWARD]);
  }
  CHECK_EQUAL(next[RN_TASK_FORWARD], units);
  CHECK_EQUAL(next[RN_TASK_BACKWARD], units);
  CHECK_EQUAL(next[RN_TASK_WEIGHT], shape.split_weight ? units : 0);
  CHECK_EQUAL(peak, list->pool);
  const int hidden = shape.split_weight ? 0 : stage;
  CHECK_EQUAL(list->pool, rn_smaller(units, shape.segments + shape.stages - 1 - hidden));
}

static void lists_are_whole_and_in_order(void) {
  rn_err err = {0};
  for (int split = 0; split <= 1; split++) {
    for (int p = 1; p <= MAX_STAGES; p++) {
      for (int m = 1; m <= MAX_MICROBATCHES; m++) {
        for (int k = 1; k <= MAX_SEGMENTS; k++) {
          const rn_pipeline_schedule_shape shape = {p, m, k, split != 0};
          for (int stage = 0; stage < p; stage++) {
            rn_pipeline_schedule list;
            if (!CHECK_OK(&err, rn_pipeline_schedule_create(&err, shape, stage, &list))) return;
            check_list(shape, stage, &list);
            rn_pipeline_schedule_destroy(&list);
          }
        }
      }
    }
  }
}

static void one_stage_works_unit_by_unit(void) {
  rn_err err = {0};
  rn_pipeline_schedule list;
  if (!CHECK_OK(&err, rn_pipeline_schedule_create(&err, (rn_pipeline_schedule_shape){1, 3, 1, true},
                                                  0, &list)))
    return;
  CHECK_EQUAL(list.pool, 1);
  for (int i = 0; i < list.count; i++) {
    CHECK_EQUAL(list.task[i].kind, i % 3);
    CHECK_EQUAL(list.task[i].microbatch, i / 3);
  }
  rn_pipeline_schedule_destroy(&list);
}

static void too_many_units_are_refused(void) {
  rn_err err = {0};
  rn_pipeline_schedule list;
  CHECK_FAILS(&err, RN_ERR_USAGE, "parallel.segments|data.batch_sequences",
              rn_pipeline_schedule_create(
                  &err, (rn_pipeline_schedule_shape){2, 1 << 20, 1 << 20, true}, 0, &list));
}

/* Checks the automatic number of segments. Where a comment gives times, these are the idle time and
 * the time of a step, as multiples of the time of one unit, and their ratio. */
static void segments_follow_the_rule(void) {
  CHECK_EQUAL(rn_pipeline_schedule_segments(1, 4, 1 << 20), 1);
  CHECK_EQUAL(rn_pipeline_schedule_segments(2, 4, 1 << 20), 3);  /* idle: 1/3 of 12.33, 2.7 % */
  CHECK_EQUAL(rn_pipeline_schedule_segments(2, 11, 1 << 20), 1); /* idle: 1/3 of 11.33, 2.9 % */
  CHECK_EQUAL(rn_pipeline_schedule_segments(2, 1, 1 << 20), 22); /* idle: 2/3 of 22.67, 2.9 % */
  CHECK_EQUAL(rn_pipeline_schedule_segments(4, 4, 1 << 20), 9);  /* idle: 1 of 37, 2.7 % */
  CHECK_EQUAL(rn_pipeline_schedule_segments(4, 4, 2048), 8);     /* 256 tokens per piece */
  CHECK_EQUAL(rn_pipeline_schedule_segments(4, 4, 2047), 7);
  CHECK_EQUAL(rn_pipeline_schedule_segments(4, 4, 100), 1);
}

int main(void) {
  lists_are_whole_and_in_order();
  one_stage_works_unit_by_unit();
  too_many_units_are_refused();
  segments_follow_the_rule();
  return check_result();
}
