/**
 * Ends a job that no longer makes progress, and reports the current operation of each rank.
 *
 * Progress means that the count of units in proto/base/progress.h grows. A unit is much shorter
 * than a step, so the limit does not bound the duration of a step, an evaluation, a save or a load.
 * A thread on every rank checks whether any rank of the job still counts units. As long as one rank
 * does, the job is considered alive, because the others may be waiting for that rank.
 *
 * The progress record of each rank (rn_progress) is in memory shared by its node, so that the other
 * ranks can report on a stopped process. If there are several nodes, all ranks also send their
 * records to rank 0 (comm/world/rank_reports.h), which prints a table of all ranks: ranks that
 * wait, ranks for which they wait, and ranks that no longer report. If rank 0 does not answer, each
 * node prints a table of its own ranks.
 *
 * If no reports arrive at all, a node knows only its own progress. Therefore, where a node may wait
 * a long time for work on another node (rank 0 locks run.dir or handles its files, or a save writes
 * files), the ranks use comm/world/collective_wait.h, which shows the progress of that work to all
 * nodes. Elsewhere, the limit must exceed the longest time that a rank works between two messages.
 * This is the evaluation of one sequence: if the last round of an evaluation has fewer sequences
 * than there are groups of ranks, groups without a sequence wait for the others.
 */
#ifndef RN_COMM_WORLD_WATCHDOG_H
#define RN_COMM_WORLD_WATCHDOG_H

#include "comm/world/world.h"

typedef struct rn_watchdog rn_watchdog;

/**
 * Starts the watchdog and moves the progress record of this process (rn_progress_use) to memory
 * shared by the node. If no rank counts a unit for `limit_s` seconds, rank 0 prints the table to
 * stderr; on each node, the rank for which the others probably wait prints the stack of its main
 * thread; and all ranks exit with the code of RN_ERR_WATCHDOG. Before that, rank 0 warns of each
 * host with ranks that no longer report. Call it from the main thread. Time in which the whole job
 * is suspended does not count. If `limit_s` is 0, starts nothing and sets *out to NULL.
 *
 * Collective: over the world; all pass the same limit. Ownership: the world outlives the watchdog.
 * Errors:     RN_ERR_LIBRARY if no thread can be created, RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_watchdog_start(rn_err *err, const rn_world *world, double limit_s, rn_watchdog **out);

/**
 * Stops the watchdog; accepts NULL. Must not be called after an MPI failure: the watchdog then
 * keeps running until rn_world_finish ends the process.
 *
 * Collective: over the node.
 * Errors:     none.
 */
void rn_watchdog_stop(rn_watchdog **watchdog);

#endif
