/**
 * The owner of a run directory: the one job that may write in it.
 *
 * `RUN/lock` is a text file that says who owns the directory (host, kernel, process, its start,
 * SLURM job) and ends with a heartbeat, a number that the owner's thread counts up every few
 * seconds. Whoever finds the file follows this rule:
 *
 *   the owner's process was of this host and is gone      taken over at once
 *   the owner's process is of this host and alive         refused at once, naming the owner
 *   the heartbeat moves                                   refused, naming the owner
 *   the heartbeat stands still for dead_s                 taken over
 *
 * The watcher compares what it reads with what it read before, by its own clock, so clocks of hosts
 * need not agree. Nothing relies on flock or fcntl locks, which some shared file systems lack: a
 * lock appears by link(2) (or by exclusive creation where a file system has no links), and its
 * successor is the one that makes `lock.after-<id of the former owner>`, a name that only one
 * process can make; it then renames its own file to `lock`. An owner whose lock was removed or
 * taken (it was suspended, or cut off from the file system, for longer than dead_s) notices before
 * it writes again. Programs that only read need no lock.
 */
#ifndef RN_DATA_RUN_RUN_LOCK_H
#define RN_DATA_RUN_RUN_LOCK_H

#include "proto/base/status.h"

typedef struct rn_run_lock rn_run_lock;

/** Seconds between heartbeats; without one until an owner counts as dead. */
typedef struct rn_run_lock_rule {
  double beat_s, dead_s;
} rn_run_lock_rule;

/** The rule of all programs. */
extern const rn_run_lock_rule rn_run_lock_default;

/**
 * Takes the lock of an existing folder, and starts its heartbeat. May wait for dead_s while it
 * watches another owner; it then counts units of progress (proto/base/progress.h).
 *
 * Errors: RN_ERR_BUSY naming the owner and what to do; RN_ERR_IO when the folder cannot be written.
 */
rn_status rn_run_lock_take(rn_err *err, const char *run_dir, rn_run_lock_rule rule,
                           rn_run_lock **out);

/**
 * Whether the lock is still this owner's, before something is written. Costs nothing while the
 * heartbeat is recent; after a pause the file is read. NULL: there is no lock to lose.
 *
 * Errors: RN_ERR_BUSY naming who has it now, or that it was removed.
 */
rn_status rn_run_lock_check(rn_err *err, rn_run_lock *lock);

/** Ends the heartbeat, and removes the lock unless it is another's by now. Takes NULL. */
void rn_run_lock_release(rn_run_lock **lock);

#endif
