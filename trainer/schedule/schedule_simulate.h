/**
 * Event simulation of the schedules of a pipeline, without MPI.
 *
 * Every rank executes its stage's schedule. Rows are received in the order in which they are sent.
 * With several ranks per stage, sequences are striped: in each layer, rank s of segment k receives
 * the state of rank s-1, and rank 0 that of the last rank of segment k-1; gradients go in the
 * opposite direction. A waiting rank forwards states that arrive, so a rank sends its state as soon
 * as the incoming state and its own contribution are both available.
 */
#ifndef RN_TRAINER_SCHEDULE_SCHEDULE_SIMULATE_H
#define RN_TRAINER_SCHEDULE_SCHEDULE_SIMULATE_H

#include "trainer/schedule/pipeline_schedule.h"

/** Times of a unit's tasks on one rank; without split_weight, BACKWARD takes weight_s too. */
typedef struct rn_task_times {
  double forward_s, backward_s, weight_s;
} rn_task_times;

typedef struct rn_simulation {
  rn_pipeline_schedule_shape shape;
  const rn_pipeline_schedule *list; /* [stages] */
  const rn_task_times *times;       /* [stages] */
  int ranks;                        /* S: ranks that share each sequence */
  int layers;                       /* of a stage: one state per unit, layer and direction */
  double rows_s, state_s;           /* time of a message between stages; between ranks of a stage */
  int buffers; /* row messages in flight between two ranks, sender and receiver; 0: unlimited */
} rn_simulation;

/** Result for one stage. Its idle fraction is 1 - busy_s / total_s. */
typedef struct rn_simulated_stage {
  double busy_s; /* of each of its ranks */
  int pool;      /* maximum number of units whose activations were held at the same time */
} rn_simulated_stage;

/**
 * Simulates the schedules. Shapes: out [stages].
 *
 * Errors: RN_ERR_MISMATCH naming stage, rank and task: a deadlock, a task that runs twice or before
 *         one that it depends on, a missing task, rows received in another order than sent.
 */
rn_status rn_pipeline_schedule_simulate(rn_err *err, const rn_simulation *sim, double *total_s,
                                        rn_simulated_stage *out);

#endif
