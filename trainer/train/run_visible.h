/** Checks that all hosts of a job see the same run directory. */
#ifndef RN_TRAINER_TRAIN_RUN_VISIBLE_H
#define RN_TRAINER_TRAIN_RUN_VISIBLE_H

#include "comm/world/collective_wait.h"

/**
 * Checks that every rank sees the lock of this job in `run_dir`, which rank 0 holds. A shared file
 * system may be slow to show a new file, so ranks that do not see it look again until `timeout_s`
 * has passed; rank 0 reports the wait. Checks nothing and returns RN_OK if rank 0 itself cannot
 * read the lock. If stop->asked() returns true on any rank, sets stop->given on all ranks and
 * returns RN_OK.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_MISMATCH, agreed, naming the first rank that does not see the lock, its host,
 *             the folder, and why the lock could not be read; RN_ERR_MPI.
 */
rn_status rn_run_visible_check(rn_err *err, rn_world *world, const char *run_dir, double timeout_s,
                               rn_collective_stop *stop);

#endif
