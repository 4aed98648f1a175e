/**
 * Ends a job that no longer makes progress, and says which ranks have not gone past which
 * operation.
 *
 * Progress is what proto/progress.h counts: units of work, not steps, so that the limit does not
 * bound how long a step, an evaluation, a save or a load may take. A thread on every rank looks
 * whether any rank of its node still counts: while one works, the others may wait for it. The ranks
 * of a node see each other's marks in shared memory, so a rank that is stopped altogether is named
 * by the others, and those that wait are told from the one that they wait for.
 */
#ifndef RN_COMM_WATCHDOG_H
#define RN_COMM_WATCHDOG_H

#include "comm/world.h"

typedef struct rn_watchdog rn_watchdog;

/**
 * Watches from now on; the marks of proto/progress.h go to memory that the node shares. A node
 * whose ranks count no unit for `limit_s` seconds makes its table appear on stderr, once, and ends
 * the processes with the exit code of RN_ERR_WATCHDOG: the launcher then ends the others. Time in
 * which all processes stood still (a suspended job) does not count.
 *
 * Collective: over the world; all pass the same limit. Ownership: the world outlives the watchdog.
 * Errors:     RN_ERR_LIBRARY when no thread can be had. `limit_s` 0: no watchdog, *out is NULL.
 */
rn_status rn_watchdog_start(rn_err *err, const rn_world *world, double limit_s, rn_watchdog **out);

/**
 * Stops watching; takes NULL and clears the pointer. Collective: over the node's ranks. After an
 * MPI failure the watchdog is left running: rn_world_finish then ends the process.
 */
void rn_watchdog_stop(rn_watchdog **watchdog);

#endif
