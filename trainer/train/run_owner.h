/** Takes the lock of run.dir (data/run/run_lock.h), which rank 0 holds for the job. */
#ifndef RN_TRAINER_TRAIN_RUN_OWNER_H
#define RN_TRAINER_TRAIN_RUN_OWNER_H

#include "comm/world/collective_wait.h"
#include "comm/world/world.h"
#include "data/run/run_lock.h"

/**
 * Takes the lock of run.dir before anything in it is read or changed, and then restores the names
 * of checkpoints that an interrupted save has renamed (rn_ckpt_restore_names). If the folder does
 * not exist or is not writable, returns RN_OK and sets *out to NULL. This is not an error, because
 * a job need not write there: for example, a finished run may be on a read-only disk. While rank 0
 * observes the heartbeat of another owner, all ranks wait (comm/world/collective_wait.h). If `stop`
 * is requested during the wait, the wait ends, and *out may be NULL.
 *
 * Collective: over the world; *out is NULL on all ranks but 0.
 * Errors:     those of rn_run_lock_take, agreed.
 */
rn_status rn_run_owner_take_existing(rn_err *err, rn_world *world, const char *run_dir,
                                     rn_collective_stop *stop, rn_run_lock **out);

/**
 * Creates run.dir and takes its lock, unless *lock is already held. Rank 0 only. If `stop` is set
 * during a wait for another owner, returns RN_OK, and *lock stays NULL.
 *
 * If *lock was not held, checks that no other job has used the folder since this job listed the
 * checkpoints, that is, that no checkpoint is later than `known_step` (-1: that there is no
 * checkpoint).
 *
 * Errors: RN_ERR_BUSY if another job has used the folder (the lock is then released); those of
 *         rn_run_lock_take.
 */
rn_status rn_run_owner_take(rn_err *err, const char *run_dir, int64_t known_step,
                            const atomic_bool *stop, rn_run_lock **lock);

#endif
