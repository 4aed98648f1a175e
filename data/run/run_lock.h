/**
 * The lock of a run directory: only the job that owns it may write there.
 *
 * `RUN/lock` is a text file that identifies the owner (host, kernel, process, its start time, SLURM
 * job) and ends with a heartbeat, a number that a thread of the owner increments every few seconds.
 * A job that finds the file follows this rule:
 *
 *   the owner ran on this host and has ended              takes over at once
 *   the owner runs on this host                           fails at once, naming the owner
 *   the heartbeat changes                                 fails, naming the owner
 *   the heartbeat does not change for dead_s              takes over
 *
 * A job compares successive reads of the file by its own clock, so the hosts' clocks need not
 * agree. Nothing relies on flock or fcntl locks, which some shared file systems lack: the lock is
 * created by link(2), or by exclusive creation if the file system has no links. The successor of an
 * owner is the process that creates `lock.after-<id of that owner>`, which only one can; it then
 * renames its own file to `lock`. An owner that lost its lock (suspended, or without access to the
 * file system, for longer than dead_s) detects this before it writes again. Programs that only read
 * need no lock.
 */
#ifndef RN_DATA_RUN_RUN_LOCK_H
#define RN_DATA_RUN_RUN_LOCK_H

#include <stdatomic.h>

#include "proto/base/status.h"

typedef struct rn_run_lock rn_run_lock;

/** Seconds between heartbeats (beat_s), and seconds without a heartbeat after which an owner counts
 * as dead (dead_s). `stop`, unless NULL, ends a wait for another owner when a thread sets it. */
typedef struct rn_run_lock_rule {
  double beat_s, dead_s;
  const atomic_bool *stop;
} rn_run_lock_rule;

/** The rule that all programs use. */
extern const rn_run_lock_rule rn_run_lock_default;

/**
 * Takes the lock of an existing folder and starts its heartbeat. May wait for dead_s while it
 * watches another owner; it then marks progress for the watchdog (proto/base/progress.h). If
 * rule.stop is set meanwhile, returns RN_OK with *out NULL and leaves the lock as it is.
 *
 * Errors: RN_ERR_BUSY naming the owner and what to do; RN_ERR_IO if the folder is not writable.
 */
rn_status rn_run_lock_take(rn_err *err, const char *run_dir, rn_run_lock_rule rule,
                           rn_run_lock **out);

/**
 * Checks, before a write to the run directory, that this process still owns the lock. Reads the
 * file only if the last heartbeat is older than dead_s / 4. NULL: always RN_OK.
 *
 * Errors: RN_ERR_BUSY naming the new owner, or saying that the lock was removed.
 */
rn_status rn_run_lock_check(rn_err *err, rn_run_lock *lock);

/** Stops the heartbeat and removes the lock if this process still owns it. Accepts NULL. */
void rn_run_lock_release(rn_run_lock **lock);

#endif
