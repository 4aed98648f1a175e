/**
 * Waits for work that only some ranks do, and shows the progress of that work to all watchdogs.
 *
 * A rank inside a collective call counts no units of progress (proto/base/progress.h), and a
 * watchdog (comm/world/watchdog.h) sees only the ranks of its own node. The functions below
 * therefore wait in short rounds. In each round the ranks sum the units that all of them have
 * counted; if the sum has grown, every rank counts one unit. If the work hangs, no rank counts a
 * unit, and the watchdogs of all nodes detect it.
 */
#ifndef RN_COMM_WORLD_COLLECTIVE_WAIT_H
#define RN_COMM_WORLD_COLLECTIVE_WAIT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "comm/world/world.h"

/**
 * Waits until is_working() returns false on all ranks; calls it once per round. The work itself
 * runs in another thread, which makes no MPI calls.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_collective_wait(rn_err *err, rn_world *world, bool (*is_working)(void *),
                             void *context);

/**
 * Runs `work` in a thread of rank 0 while all ranks wait in rounds. Used for long file operations
 * that one rank does for all. `work` must not call MPI.
 *
 * Collective: over the world.
 * Errors:     the status of `work`, on rank 0 only; RN_ERR_MPI if a round fails. If `work` then
 *             goes on for more than a second, the function aborts the job (rn_world_abort).
 */
rn_status rn_collective_wait_for_root(rn_err *err, rn_world *world,
                                      rn_status (*work)(rn_err *err, void *context), void *context);

/** Lets the ranks end the work early. Each round calls asked() in the calling thread; if it returns
 * true on any rank, all ranks set `given` in that round. */
typedef struct rn_collective_stop {
  bool (*asked)(void);
  atomic_bool given;
} rn_collective_stop;

/**
 * Like rn_collective_wait_for_root, but `work` must return soon after stop->given is set. If no
 * rank asks it to stop, it returns when it is finished.
 *
 * Collective: over the world.
 * Errors:     those of rn_collective_wait_for_root.
 */
rn_status rn_collective_wait_for_root_or_stop(rn_err *err, rn_world *world,
                                              rn_status (*work)(rn_err *err, void *context),
                                              void *context, rn_collective_stop *stop);

#endif
