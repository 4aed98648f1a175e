/** The lock of run.dir (data/run/run_lock.h), held by rank 0 for the job. */
#ifndef RN_TRAINER_TRAIN_RUN_OWNER_H
#define RN_TRAINER_TRAIN_RUN_OWNER_H

#include "comm/world/world.h"
#include "data/run/run_lock.h"

/**
 * Takes the lock of a run.dir that is there and can be written, before anything in it is read or
 * changed. Elsewhere *out stays NULL: the folder may never be written (a finished run on a
 * read-only disk). All ranks wait together (comm/world/collective_wait.h) while rank 0 watches
 * another owner.
 *
 * Collective: over the world; *out is NULL on all ranks but 0. Errors: those of rn_run_lock_take,
 * agreed.
 */
rn_status rn_run_owner_look(rn_err *err, rn_world *world, const char *run_dir, rn_run_lock **out);

/**
 * Makes run.dir, and takes its lock unless *lock is held already. By rank 0 alone.
 *
 * Where it is taken only now, another job may have used the folder since its checkpoints were
 * looked at: a checkpoint of a step after `known_step` (-1: of any) is one that this job does not
 * know of. Errors: RN_ERR_BUSY then, without the lock; those of rn_run_lock_take.
 */
rn_status rn_run_owner_take(rn_err *err, const char *run_dir, int64_t known_step,
                            rn_run_lock **lock);

#endif
