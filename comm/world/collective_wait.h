/**
 * Waiting for work that some ranks do alone, so that the watchdog of every node sees its progress.
 *
 * A rank that waits inside a collective call counts nothing, and a watchdog (comm/world/watchdog.h)
 * looks at the ranks of its own node. Here the ranks wait in short rounds instead: each tells how
 * many units (proto/base/progress.h) it has counted, and where that number has grown on any rank,
 * all count one. Work that stands still is still found by the watchdogs of all nodes.
 */
#ifndef RN_COMM_WORLD_COLLECTIVE_WAIT_H
#define RN_COMM_WORLD_COLLECTIVE_WAIT_H

#include <stdbool.h>

#include "comm/world/world.h"

/**
 * Returns when no rank is working any more. `is_working` is asked once a round; the work itself
 * runs in another thread, which makes no MPI call. Collective: over the world.
 */
rn_status rn_together_wait(rn_err *err, rn_world *world, bool (*is_working)(void *), void *context);

/**
 * Runs `work` on rank 0, in a thread of its own, while all ranks wait in rounds: for operations on
 * files that one rank does for all and that may take long. It may not call MPI.
 *
 * Collective: over the world. Returns its status on rank 0 and RN_OK elsewhere, for the caller to
 * agree on; RN_ERR_MPI when the rounds fail.
 */
rn_status rn_together_by_first(rn_err *err, rn_world *world,
                               rn_status (*work)(rn_err *err, void *context), void *context);

#endif
