/**
 * Ends a job that no longer moves, and says which ranks have not gone past which operation.
 *
 * A thread on every rank looks whether the main thread still ticks. The ranks of a node see each
 * other's last tick in shared memory, so a rank that is stopped altogether is named by the others.
 */
#ifndef RN_COMM_WATCHDOG_H
#define RN_COMM_WATCHDOG_H

#include <stdint.h>

#include "comm/world.h"

typedef struct rn_watchdog rn_watchdog;

/**
 * Watches from now on. A rank without a tick for `limit_s` seconds makes its node's table appear on
 * stderr, once, and ends the process with the exit code of RN_ERR_WATCHDOG: the launcher then ends
 * the others. Time in which the whole process stood still (a suspended job) does not count.
 *
 * Collective: over the world; all pass the same limit. Ownership: the world outlives the watchdog.
 * Errors:     RN_ERR_LIBRARY when no thread can be had. `limit_s` 0: no watchdog, *out is NULL.
 */
rn_status rn_watchdog_start(rn_err *err, const rn_world *world, double limit_s, rn_watchdog **out);

/**
 * The main thread begins `operation` (its first 47 bytes count) of `step`; cheap. All ranks tick in
 * the same order: the one with the fewest ticks is behind. Takes NULL.
 */
void rn_watchdog_tick(rn_watchdog *watchdog, const char *operation, int64_t step);

/**
 * Stops watching; takes NULL and clears the pointer. Collective: over the node's ranks. After an
 * MPI failure the watchdog is left running: rn_world_finish then ends the process.
 */
void rn_watchdog_stop(rn_watchdog **watchdog);

#endif
