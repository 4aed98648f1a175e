/**
 * Waits for work that only some ranks do, in a way that shows its progress to all watchdogs.
 *
 * A rank inside a collective call counts no units, and a watchdog (comm/world/watchdog.h) sees only
 * the ranks of its own node. Here the ranks wait in short rounds: they sum the units
 * (proto/base/progress.h) that they have counted, and if the sum has grown, all count one unit. If
 * the work hangs, no rank counts, and the watchdogs of all nodes detect it.
 */
#ifndef RN_COMM_WORLD_COLLECTIVE_WAIT_H
#define RN_COMM_WORLD_COLLECTIVE_WAIT_H

#include <stdbool.h>

#include "comm/world/world.h"

/**
 * Returns when is_working() is false on all ranks; it is called once per round. The work itself
 * runs in another thread, which makes no MPI call.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_collective_wait(rn_err *err, rn_world *world, bool (*is_working)(void *),
                             void *context);

/**
 * Runs `work` in a thread of rank 0 while all ranks wait in rounds: for file operations that one
 * rank does for all and that may take long. `work` must not call MPI.
 *
 * Collective: over the world.
 * Errors:     the status of `work` on rank 0, not agreed; RN_ERR_MPI when a round fails.
 */
rn_status rn_collective_wait_for_root(rn_err *err, rn_world *world,
                                      rn_status (*work)(rn_err *err, void *context), void *context);

#endif
