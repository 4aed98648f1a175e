/**
 * A written record of the shared memory that a run maps, so that the next start can clear what a
 * killed one left behind.
 *
 * `run.dir/shared-memory.txt` has a line for each rank and file of /dev/shm: host, process, its
 * start time, the file's inode, its path.
 */
#ifndef RN_COMM_WORLD_SHM_RECORD_H
#define RN_COMM_WORLD_SHM_RECORD_H

#include "comm/world/world.h"

/**
 * Adds what every rank maps now; after all windows are made.
 *
 * Collective: over the world. Errors: RN_ERR_IO naming the file, agreed.
 */
rn_status rn_shm_record_write(rn_err *err, rn_world *world, const char *run_dir);

/**
 * Removes the recorded files of this job's hosts whose recorded processes are all dead, and nothing
 * else: a file that has another inode by now stays. Lines of other hosts stay in the record.
 *
 * Collective: over the world. Errors: RN_ERR_IO naming the file, agreed; no record is no error.
 */
rn_status rn_shm_record_clean(rn_err *err, rn_world *world, const char *run_dir);

#endif
