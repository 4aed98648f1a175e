/** Checks that the system can start all threads of a rank. */
#ifndef RN_TRAINER_MACHINE_THREAD_LIMIT_H
#define RN_TRAINER_MACHINE_THREAD_LIMIT_H

#include "proto/base/omp_threads.h"
#include "proto/base/status.h"

/** Maximum number of threads of a rank: the number of cores that Linux supports. */
enum { RN_THREAD_LIMIT = RN_OMP_THREADS_MAX };

/**
 * Checks that `threads` threads can be started, since OpenMP terminates the process if it cannot
 * start a thread. If `threads` exceeds the number of cores of this node, starts `threads` threads
 * as a test and ends them.
 *
 * Errors: RN_ERR_USAGE naming parallel.threads, the possible number of threads and the limit that
 *         applies; RN_ERR_MEMORY.
 */
rn_status rn_thread_limit_check(rn_err *err, int threads);

#endif
