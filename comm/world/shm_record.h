/**
 * Records the shared-memory files that a run maps, so that the next start can remove the files that
 * a killed run left behind.
 *
 * `run.dir/shared-memory.txt` has one line for each file of each host: host, process id, start time
 * of the process, inode and path of the file. The process is one of those that map the file. The
 * files are those in /dev/shm, and those in the folder for temporary files through which mpirun
 * shares data with its ranks. Files of earlier versions have one line for each process that maps a
 * file.
 *
 * Rank 0 reads the record and replaces it by renaming a new file; it must own the lock of run.dir.
 * A record that is too large or has no valid line is replaced with a warning, because it only
 * serves to find files that can be removed.
 */
#ifndef RN_COMM_WORLD_SHM_RECORD_H
#define RN_COMM_WORLD_SHM_RECORD_H

#include "comm/world/world.h"

/** Number of lines of other hosts that a start keeps, the newest ones. */
enum { RN_SHM_RECORD_MAX_FOREIGN = 1 << 16 };

/**
 * Adds to the record the files that the ranks currently map. Call it after every operation that may
 * create such files: a process that is killed before the call leaves files that are not in the
 * record.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_IO naming the file, RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_shm_record_write(rn_err *err, rn_world *world, const char *run_dir);

/**
 * On each host of this job, removes the recorded files whose recorded processes have ended and that
 * no process maps; keeps a file whose inode has changed. Drops the oldest lines of other hosts if
 * there are more than RN_SHM_RECORD_MAX_FOREIGN.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_IO naming the file (a missing record is not an error), RN_ERR_MEMORY, agreed;
 *             RN_ERR_MPI.
 */
rn_status rn_shm_record_clean(rn_err *err, rn_world *world, const char *run_dir);

#endif
