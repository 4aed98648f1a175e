/**
 * What a pipeline stage does in a step, and in which order: plain data from a pure function.
 *
 * A unit is (micro-batch, segment). Forwards go through micro-batches and their segments in order,
 * backwards through micro-batches in order and their segments from the last; a stage starts
 * backwards as soon as it can (one forward, one backward). The weight half of backward is a task
 * of its own: stage s lets s of them wait, which shortens the way of the first gradients through
 * the stages, and does the waiting ones at the end, while others still drain.
 *
 * Idle time of p stages, m micro-batches, K segments, times F, B, W of a unit (W <= F <= B + W):
 *
 *   weight apart:   (p-1)(F+B-W)  where (m-1) K >= p-1,   (p-1)(F+B)  where m = 1
 *   weight within:  (p-1)(F+B+W)
 *
 * Source: Seq1F1B (arXiv 2406.03488) for the order, zero-bubble H1 (arXiv 2401.10241) for weights
 *         apart; made and simulated for equal segments, which retention has.
 */
#ifndef RN_TRAINER_PARALLEL_PIPELINE_SCHEDULE_H
#define RN_TRAINER_PARALLEL_PIPELINE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/status.h"

typedef enum { RN_TASK_FORWARD, RN_TASK_BACKWARD, RN_TASK_WEIGHT } rn_task_kind;

/** One task: a half or a direction of a unit's work, from and onto one slot of activations. */
typedef struct rn_task {
  rn_task_kind kind;
  int microbatch, segment;
  int activations; /* slot, 0 .. tapes-1: taken by the forward, free again after the unit's last
                      task */
} rn_task;

typedef struct rn_pipeline_schedule {
  rn_task *task; /* [count], in the order in which they run */
  int count;
  int pool; /* slots of activations that are needed: min(m K, K + p-1) with weights apart */
} rn_pipeline_schedule;

typedef struct rn_pipeline_schedule_shape {
  int stages, microbatches, segments; /* p, m, K, each at least 1 */
  bool split_weight;                  /* without, a BACKWARD task does both halves */
} rn_pipeline_schedule_shape;

/**
 * The list of stage `stage`, the same for all ranks that share the stage's sequences.
 *
 * Weight tasks come in the order of their backwards, so that time never changes a sum.
 * Ownership: the caller destroys the list. Errors: RN_ERR_USAGE when there are too many units to
 *            count, RN_ERR_MEMORY.
 */
rn_status rn_pipeline_schedule_create(rn_err *err, rn_pipeline_schedule_shape shape, int stage,
                                      rn_pipeline_schedule *out);
/**
 * The slots of activations that this list will need, without making it.
 *
 * Errors: as rn_pipeline_schedule_create, memory excepted.
 */
rn_status rn_schedule_tapes(rn_err *err, rn_pipeline_schedule_shape shape, int stage, int *pool);
void rn_pipeline_schedule_destroy(rn_pipeline_schedule *list);

/**
 * K by rule: 1 without a pipeline, else the fewest segments for which less than 3 % of the step is
 * idle (for F = B = W, weights apart) with at least 256 tokens a piece; where no K reaches that,
 * the largest that leaves 256 tokens.
 *
 * `tokens` are those of one sequence that a rank works on, over all its pieces.
 */
int rn_pipeline_schedule_segments(int stages, int microbatches, int64_t tokens);

/** "forward", "backward" or "weight", for messages. */
const char *rn_task_kind_name(rn_task_kind kind);

#endif
