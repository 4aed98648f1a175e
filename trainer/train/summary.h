/** Writes RUN/summary.json, which has the result of a launch and the time, messages and memory that
 * it used. */
#ifndef RN_TRAINER_TRAIN_SUMMARY_H
#define RN_TRAINER_TRAIN_SUMMARY_H

#include "data/run/run_lock.h"
#include "trainer/checkpoint/saver.h"
#include "trainer/run/run.h"
#include "trainer/train/metrics.h"

/** Totals of a launch on this rank. */
typedef struct rn_launch_totals {
  rn_run_lock *lock;         /* lock of run.dir, on rank 0 */
  const rn_metrics *metrics; /* used on rank 0 */
  const rn_save_costs *saves;
  int64_t scan_bytes; /* bytes of states sent in steps */
  double seconds;
} rn_launch_totals;

/**
 * Gathers the figures of all ranks; rank 0 replaces RUN/summary.json if this job still owns the
 * lock.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_BUSY if the lock is lost, RN_ERR_IO, RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_summary_write(rn_err *err, const rn_run *run, const rn_launch_totals *totals);

#endif
