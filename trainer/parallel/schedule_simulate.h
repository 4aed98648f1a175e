/**
 * What a pipeline's lists of tasks lead to: a simulation of events, without ranks or messages.
 *
 * Every rank works through its stage's list. Rows go from stage to stage in the order in which they
 * are sent. With several ranks a stage, sequences are striped: rank s of band (segment) k gets, in
 * each layer, the state of rank s-1, and rank 0 that of the last rank of band k-1; gradients go the
 * other way. A rank that waits passes on what arrives, so a state is under way as soon as both it
 * and the rank's own part are there.
 */
#ifndef RN_TRAINER_PARALLEL_SCHEDULE_SIMULATE_H
#define RN_TRAINER_PARALLEL_SCHEDULE_SIMULATE_H

#include "trainer/parallel/pipeline_schedule.h"

/** Times of a unit's tasks on one rank; weight_s belongs to BACKWARD where it is not apart. */
typedef struct rn_task_times {
  double forward_s, backward_s, weight_s;
} rn_task_times;

typedef struct rn_simulation {
  rn_pipeline_schedule_shape shape;
  const rn_pipeline_schedule *list; /* [stages] */
  const rn_task_times *times;       /* [stages] */
  int ranks;                        /* S, that share each sequence */
  int layers;                       /* of a stage: states that a unit waits for in each direction */
  double rows_s, state_s;           /* a message between stages, one between ranks of a sequence */
  int buffers; /* rows under way between two ranks, at both ends together; 0: any number */
} rn_simulation;

/** What a stage went through. Its share of idle time is 1 - busy_s / total_s. */
typedef struct rn_simulated_stage {
  double busy_s; /* of each of its ranks */
  int pool;      /* units whose activations were held at the same time, at most */
} rn_simulated_stage;

/**
 * Runs the lists. Shapes: out [stages].
 *
 * Errors: RN_ERR_MISMATCH naming stage, rank and task: a deadlock, a task before the one that it
 *         needs or done twice, a unit never done, rows that a neighbour takes in another order.
 */
rn_status rn_pipeline_schedule_simulate(rn_err *err, const rn_simulation *sim, double *total_s,
                                        rn_simulated_stage *out);

#endif
