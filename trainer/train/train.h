/** Runs the training loop: steps, evaluations and checkpoints, until all steps are done or a stop
 * is requested. */
#ifndef RN_TRAINER_TRAIN_TRAIN_H
#define RN_TRAINER_TRAIN_TRAIN_H

#include "proto/options/options.h"
#include "trainer/run/run.h"

/** Reason why the training ended without an error: all steps are done, or a stop was requested. */
typedef enum { RN_TRAIN_DONE, RN_TRAIN_STOPPED } rn_train_end;

/**
 * Starts, continues or extends the run in run.dir up to train.steps.
 *
 * Saves and stops early on SIGTERM, SIGUSR1 or SIGUSR2 to any rank, before run.max_hours is
 * reached, and before the end of the SLURM job (trainer/launch/time_limit.h).
 *
 * Collective: over the world. Errors: agreed.
 */
rn_status rn_train(rn_err *err, const Retnet__Config *given, const rn_options_locations *locations,
                   rn_world *world, rn_train_end *end);

#endif
