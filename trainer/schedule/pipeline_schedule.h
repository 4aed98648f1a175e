/**
 * The schedule of a pipeline stage: its tasks of one step in execution order. It is plain data,
 * computed by a pure function.
 *
 * A unit is (micro-batch, segment). Forward tasks run over micro-batches and their segments in
 * order; backward tasks over micro-batches in order and over their segments from last to first. A
 * stage starts backward tasks as soon as it can and then alternates (1F1B). The weight phase of
 * backward can be a separate task: stage s defers s of them, so that the first gradients reach the
 * first stage earlier, and runs the deferred ones at the end, while other stages still drain.
 *
 * Idle time with p stages, m micro-batches, K segments, and times F, B, W of a unit's forward,
 * backward-input and backward-weight (W <= F <= B + W):
 *
 *   split_weight:     (p-1)(F+B-W)  if (m-1) K >= p-1,   (p-1)(F+B)  if m = 1
 *   not split_weight: (p-1)(F+B+W)
 *
 * Source: Seq1F1B (arXiv 2406.03488) for the order, zero-bubble H1 (arXiv 2401.10241) for separate
 *         weight tasks; for segments of equal cost, which retention has.
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
  int activations; /* slot index, 0 .. pool-1: acquired by the unit's forward task, free after its
                      last task */
} rn_task;

typedef struct rn_pipeline_schedule {
  rn_task *task; /* [count], in execution order */
  int count;
  int pool; /* number of activation slots: min(m K, K + p-1) with split_weight */
} rn_pipeline_schedule;

typedef struct rn_pipeline_schedule_shape {
  int stages, microbatches, segments; /* p, m, K, each at least 1 */
  bool split_weight;                  /* false: a BACKWARD task does both phases */
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
 * Errors: RN_ERR_USAGE as rn_pipeline_schedule_create.
 */
rn_status rn_pipeline_schedule_slots(rn_err *err, rn_pipeline_schedule_shape shape, int stage,
                                     int *pool);
void rn_pipeline_schedule_destroy(rn_pipeline_schedule *list);

/**
 * The rule for K (parallel.segments): 1 without a pipeline. Otherwise the smallest K for which less
 * than 3 % of the step is idle (for F = B = W and split_weight), limited to the largest K that
 * leaves at least 256 tokens per piece.
 *
 * `tokens` counts the tokens of one sequence that a rank works on, over all its pieces.
 */
int rn_pipeline_schedule_segments(int stages, int microbatches, int64_t tokens);

/** "forward", "backward" or "weight", for messages. */
const char *rn_task_kind_name(rn_task_kind kind);

#endif
