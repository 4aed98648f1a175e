/** Whether this system can start as many threads as a rank is to have. */
#ifndef RN_TRAINER_MACHINE_THREAD_LIMIT_H
#define RN_TRAINER_MACHINE_THREAD_LIMIT_H

#include "proto/base/status.h"

/** The most threads of a rank: as many as one Linux kernel can have cores. */
enum { RN_THREAD_LIMIT = 8192 };

/**
 * OpenMP ends the process when a thread cannot be started, so numbers beyond this node's cores are
 * tried first: that many threads are started, and end at once.
 *
 * Errors: RN_ERR_USAGE naming parallel.threads, how many there can be and what limits them.
 */
rn_status rn_thread_limit_check(rn_err *err, int threads);

#endif
