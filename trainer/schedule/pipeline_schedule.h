/**
 * The schedule of a pipeline stage is the list of tasks of one step, in execution order. It is
 * plain data, computed by a pure function.
 *
 * A unit is (micro-batch, segment). Forward tasks run over micro-batches and their segments in
 * order; backward tasks over micro-batches in order and over their segments from last to first. A
 * stage starts backward tasks as soon as it can and then alternates (1F1B). The weight phase of
 * backward can be a separate task: stage s defers s weight tasks, so that the first gradients reach
 * the first stage earlier, and runs the deferred tasks at the end, while other stages still drain.
 *
 * Idle time with p stages, m micro-batches, K segments, and times F, B, W of a unit's forward,
 * backward-input and backward-weight (W <= F <= B + W):
 *
 *   split_weight:     (p-1)(F+B-W)  if (m-1) K >= p-1,   (p-1)(F+B)  if m = 1
 *   not split_weight: (p-1)(F+B+W)
 *
 * Source: Seq1F1B (arXiv 2406.03488) for the order, zero-bubble H1 (arXiv 2401.10241) for separate
 *         weight tasks. The formulas assume segments of equal cost, which holds for retention.
 */
#ifndef RN_TRAINER_SCHEDULE_PIPELINE_SCHEDULE_H
#define RN_TRAINER_SCHEDULE_PIPELINE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/status.h"

typedef enum { RN_TASK_FORWARD, RN_TASK_BACKWARD, RN_TASK_WEIGHT } rn_task_kind;

/** One task: the forward pass or one phase of the backward pass of a unit. */
typedef struct rn_task {
  rn_task_kind kind;
  int microbatch, segment;
  int activations; /* slot index, 0 .. pool-1; the unit's forward task acquires the slot, and the
                      unit's last task frees it */
} rn_task;

typedef struct rn_pipeline_schedule {
  rn_task *task; /* [count], in execution order */
  int count;
  int pool; /* number of activation slots: min(m * K, K + p - 1) with split_weight */
} rn_pipeline_schedule;

typedef struct rn_pipeline_schedule_shape {
  int stages, microbatches, segments; /* p, m, K, each at least 1 */
  bool split_weight;                  /* false: a BACKWARD task runs both phases */
} rn_pipeline_schedule_shape;

/**
 * Creates the schedule of stage `stage`; it is the same for all ranks of the stage.
 *
 * WEIGHT tasks run in the order of their BACKWARD tasks, so that gradient sums do not depend on
 * timing.
 * Ownership: the caller destroys the schedule.
 * Errors:    RN_ERR_USAGE if there are too many units to count, RN_ERR_MEMORY.
 */
rn_status rn_pipeline_schedule_create(rn_err *err, rn_pipeline_schedule_shape shape, int stage,
                                      rn_pipeline_schedule *out);
/**
 * Computes the number of activation slots of a schedule without creating it.
 *
 * Errors: RN_ERR_USAGE, as for rn_pipeline_schedule_create.
 */
rn_status rn_pipeline_schedule_slots(rn_err *err, rn_pipeline_schedule_shape shape, int stage,
                                     int *pool);
void rn_pipeline_schedule_destroy(rn_pipeline_schedule *list);

/**
 * Chooses the number of segments K (parallel.segments) by rule. K is 1 without a pipeline.
 * Otherwise K is the smallest number for which less than 3 % of the step is idle (for F = B = W and
 * split_weight), limited so that each piece has at least 256 tokens.
 *
 * `tokens` is the number of tokens of one sequence that a rank works on, over all its pieces.
 */
int rn_pipeline_schedule_segments(int stages, int microbatches, int64_t tokens);

/** Returns "forward", "backward" or "weight", for messages. */
const char *rn_task_kind_name(rn_task_kind kind);

#endif
