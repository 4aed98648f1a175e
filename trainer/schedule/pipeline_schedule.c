#include "trainer/schedule/pipeline_schedule.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "proto/base/arena.h"
#include "proto/base/range.h"

enum { TASKS_OF_A_UNIT = 3, MIN_PIECE_TOKENS = 256 };

/* A schedule under construction. Units are numbered in forward order. */
typedef struct making {
  rn_pipeline_schedule_shape shape;
  rn_pipeline_schedule *list;
  int *slot_of_unit; /* [units] */
  int *free_slot;    /* [pool], a stack */
  int free_slots;
} making;

/*
 * Returns the number of forward tasks before the first forward/backward pair. The actual number is
 * smaller if the step has fewer units.
 */
static int forwards_ahead(rn_pipeline_schedule_shape shape, int stage) {
  return shape.segments - 1 + (shape.stages - 1 - stage);
}

/* Returns the number of weight tasks that a stage defers until its other tasks are done. */
static int weights_waiting(rn_pipeline_schedule_shape shape, int stage) {
  return shape.split_weight ? stage : 0;
}

/* Appends the task of kind `kind` with index `order` (from 0). */
static void add(making *m, rn_task_kind kind, int order) {
  const int segments = m->shape.segments, position = order % segments;
  rn_task *task = &m->list->task[m->list->count++];
  *task = (rn_task){.kind = kind,
                    .microbatch = order / segments,
                    .segment = kind == RN_TASK_FORWARD ? position : segments - 1 - position};
  const int unit = task->microbatch * segments + task->segment;
  if (kind == RN_TASK_FORWARD) {
    assert(m->free_slots > 0);
    m->slot_of_unit[unit] = m->free_slot[--m->free_slots];
  }
  task->activations = m->slot_of_unit[unit];
  const bool last = kind == (m->shape.split_weight ? RN_TASK_WEIGHT : RN_TASK_BACKWARD);
  if (last) m->free_slot[m->free_slots++] = task->activations;
}

static void fill(making *m, int stage) {
  const int units = m->shape.microbatches * m->shape.segments;
  for (int i = m->list->pool; i > 0; i--) m->free_slot[m->free_slots++] = i - 1;
  const int ahead = (int)rn_smaller(units, forwards_ahead(m->shape, stage));
  const int waiting = weights_waiting(m->shape, stage);
  int weights = 0;
  for (int i = 0; i < ahead; i++) add(m, RN_TASK_FORWARD, i);
  for (int i = 0; i < units; i++) {
    if (ahead + i < units) add(m, RN_TASK_FORWARD, ahead + i);
    add(m, RN_TASK_BACKWARD, i);
    if (m->shape.split_weight && i >= waiting) add(m, RN_TASK_WEIGHT, weights++);
  }
  while (m->shape.split_weight && weights < units) add(m, RN_TASK_WEIGHT, weights++);
}

rn_status rn_pipeline_schedule_slots(rn_err *err, rn_pipeline_schedule_shape shape, int stage,
                                     int *pool) {
  assert(shape.stages > 0 && shape.microbatches > 0 && shape.segments > 0);
  assert(0 <= stage && stage < shape.stages);
  *pool = 0;
  const int64_t units = (int64_t)shape.microbatches * shape.segments;
  if (units + shape.stages > INT_MAX / TASKS_OF_A_UNIT) {
    return rn_fail(err, RN_ERR_USAGE,
                   "%d micro-batches of %d segments exceed the limit of units per step: lower "
                   "data.batch_sequences or parallel.segments, or raise parallel.microbatch",
                   shape.microbatches, shape.segments);
  }
  *pool =
      (int)rn_smaller((int)units, forwards_ahead(shape, stage) + 1 + weights_waiting(shape, stage));
  return RN_OK;
}

rn_status rn_pipeline_schedule_create(rn_err *err, rn_pipeline_schedule_shape shape, int stage,
                                      rn_pipeline_schedule *out) {
  making m = {.shape = shape, .list = out};
  const size_t units = (size_t)shape.microbatches * (size_t)shape.segments;
  *out = (rn_pipeline_schedule){0};
  rn_status status = rn_pipeline_schedule_slots(err, shape, stage, &out->pool);
  if (status == RN_OK) {
    status = rn_alloc(err, "schedule", TASKS_OF_A_UNIT * units, sizeof *out->task, &out->task);
  }
  if (status == RN_OK) status = rn_alloc(err, "schedule", units, sizeof(int), &m.slot_of_unit);
  if (status == RN_OK) {
    status = rn_alloc(err, "schedule", (size_t)out->pool, sizeof(int), &m.free_slot);
  }
  if (status == RN_OK) {
    fill(&m, stage);
  } else {
    rn_pipeline_schedule_destroy(out);
  }
  free(m.slot_of_unit);
  free(m.free_slot);
  return status;
}

void rn_pipeline_schedule_destroy(rn_pipeline_schedule *list) {
  free(list->task);
  *list = (rn_pipeline_schedule){0};
}

/*
 * True if less than 3 % of the step is idle. The symbols are those of pipeline_schedule.h; F, B and
 * W are assumed to be equal. In units of F + B + W, the busy time is m * K. The idle time is (p-1)
 * / 3 if (m-1) * K >= p-1; otherwise it is assumed to be 2 * (p-1) / 3.
 */
static bool is_busy(int stages, int microbatches, int64_t segments) {
  const bool hidden = (microbatches - 1) * segments >= stages - 1;
  const double idle = (hidden ? 1.0 : 2.0) * (stages - 1) / 3.0;
  return idle < 0.03 * (idle + (double)(microbatches * segments));
}

int rn_pipeline_schedule_segments(int stages, int microbatches, int64_t tokens) {
  if (stages == 1) return 1;
  int segments = 1;
  while (!is_busy(stages, microbatches, segments) &&
         tokens >= (int64_t)(segments + 1) * MIN_PIECE_TOKENS) {
    segments++;
  }
  return segments;
}

const char *rn_task_kind_name(rn_task_kind kind) {
  static const char *const name[] = {"forward", "backward", "weight"};
  return name[kind];
}
