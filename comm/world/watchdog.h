/**
 * Ends a job that no longer makes progress, and says which ranks have not gone past which
 * operation.
 *
 * Progress is what proto/base/progress.h counts: units of work, not steps, so that the limit does
 * not bound how long a step, an evaluation, a save or a load may take. A thread on every rank looks
 * whether any rank of its node still counts: while one works, the others may wait for it. The ranks
 * of a node see each other's marks in shared memory, so a rank that is stopped altogether is named
 * by the others, and those that wait are told from the one that they wait for.
 *
 * Marks do not cross nodes by themselves. Where the ranks of a node may wait long for work that is
 * done elsewhere (the lock and files of run.dir, which are rank 0's, and the files of a save), they
 * wait by comm/world/collective_wait.h, which brings that progress to all nodes. Elsewhere a node
 * waits for others within a step, an evaluation or a load, whose shares are alike: the limit has to
 * be longer than what one rank does between two messages, at most one sequence of an evaluation
 * whose last round has fewer sequences than there are groups of ranks.
 */
#ifndef RN_COMM_WORLD_WATCHDOG_H
#define RN_COMM_WORLD_WATCHDOG_H

#include "comm/world/world.h"

typedef struct rn_watchdog rn_watchdog;

/**
 * Watches from now on; the marks of proto/base/progress.h go to memory that the node shares. A node
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
