/**
 * Records the shared-memory files that a run maps, so that the next start can remove the files that
 * a killed run left behind.
 *
 * `run.dir/shared-memory.txt` has one line for each rank and each file that the rank maps: host,
 * process id, start time of the process, inode and path of the file. The files are those in
 * /dev/shm, and those in the folder for temporary files through which mpirun shares data with its
 * ranks. A line may be repeated.
 */
#ifndef RN_COMM_WORLD_SHM_RECORD_H
#define RN_COMM_WORLD_SHM_RECORD_H

#include "comm/world/world.h"

/**
 * Appends to the record the files that each rank currently maps. Call it after every operation that
 * may create such files: a process that is killed before the call leaves files that are not in the
 * record.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_IO naming the file, RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_shm_record_write(rn_err *err, rn_world *world, const char *run_dir);

/**
 * On each host of this job, removes the recorded files for which all recorded processes have ended;
 * keeps a file whose inode has changed. Lines of other hosts remain in the record.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_IO naming the file (a missing record is not an error), RN_ERR_MEMORY, agreed;
 *             RN_ERR_MPI.
 */
rn_status rn_shm_record_clean(rn_err *err, rn_world *world, const char *run_dir);

#endif
