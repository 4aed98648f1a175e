/** Makes the last preparations before the first step: prepares the run directory and its files, and
 * prints the settings. */
#ifndef RN_TRAINER_TRAIN_RUN_START_H
#define RN_TRAINER_TRAIN_RUN_START_H

#include "comm/world/collective_wait.h"
#include "data/run/run_lock.h"
#include "proto/options/options.h"
#include "trainer/run/run.h"
#include "trainer/train/metrics.h"

/** The lock and the open files of run.dir, on rank 0, during a launch. */
typedef struct rn_run_folder {
  rn_run_lock *lock; /* lock of run.dir; NULL: not held */
  rn_metrics metrics;
} rn_run_folder;

/**
 * On rank 0: takes the lock of run.dir unless folder->lock is held, checks that the folder can hold
 * the checkpoints, writes config.yaml with the values that the planner and the run have chosen,
 * opens metrics.jsonl and prints one line with the settings of the run. `continues` is true if the
 * run was loaded from a checkpoint in run.dir. If a stop is requested during the call, nothing is
 * printed, the lock may not be held, and the caller must not start the run.
 *
 * Collective: over the world.
 * Errors:     those of rn_run_owner_take, rn_ckpt_preflight, rn_run_config_write and
 *             rn_metrics_open; agreed.
 */
rn_status rn_run_start(rn_err *err, const rn_options_locations *locations, bool continues,
                       const rn_run *run, rn_collective_stop *stop, rn_run_folder *folder);

#endif
