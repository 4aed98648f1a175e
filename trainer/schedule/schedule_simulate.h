/**
 * Simulates the schedules of a pipeline as discrete events, without MPI.
 *
 * Every rank executes its stage's schedule. Rows are received in the order in which they are sent.
 * With several ranks per stage, the consecutive pieces of a sequence belong to ranks 0, 1, ...,
 * S-1, 0, 1, ... of the stage, where S is their number; segment k of a rank is its k-th piece. In
 * each layer, rank s receives the state of segment k from rank s-1, and rank 0 receives it from the
 * last rank, which computed it in segment k-1. Gradients are sent in the opposite direction. A
 * waiting rank forwards states that arrive, so a rank sends its state as soon as the incoming state
 * and its own contribution are both available.
 */
#ifndef RN_TRAINER_SCHEDULE_SCHEDULE_SIMULATE_H
#define RN_TRAINER_SCHEDULE_SCHEDULE_SIMULATE_H

#include "trainer/schedule/pipeline_schedule.h"

/**
 * Times of a unit's tasks on one rank. Without split_weight, a BACKWARD task takes backward_s +
 * weight_s.
 */
typedef struct rn_task_times {
  double forward_s, backward_s, weight_s;
} rn_task_times;

typedef struct rn_simulation {
  rn_pipeline_schedule_shape shape;
  const rn_pipeline_schedule *list; /* [stages] */
  const rn_task_times *times;       /* [stages] */
  int ranks;                        /* S: number of ranks that share each sequence */
  int layers;             /* layers per stage; each layer sends one state per unit and direction */
  double rows_s, state_s; /* time of a message between two stages; between two ranks of a stage */
  int buffers; /* maximum number of row messages in flight between two ranks, including those in
                  buffers of either rank; 0: unlimited */
} rn_simulation;

/** Result for one stage. The idle fraction of the stage is 1 - busy_s / total_s. */
typedef struct rn_simulated_stage {
  double busy_s; /* busy time of each rank of the stage */
  int pool;      /* maximum number of units whose activations were held at the same time */
} rn_simulated_stage;

/**
 * Simulates the schedules. Shapes: out [stages].
 *
 * Errors: RN_ERR_MISMATCH naming stage, rank and task for a deadlock, a missing task, a task that
 *         runs twice or before a task that it depends on, or rows that are received in a different
 *         order than sent.
 */
rn_status rn_pipeline_schedule_simulate(rn_err *err, const rn_simulation *sim, double *total_s,
                                        rn_simulated_stage *out);

#endif
