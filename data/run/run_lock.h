/**
 * The lock of a run directory. Only the job that owns the lock may write to the directory.
 *
 * `RUN/lock` is a text file that identifies the owner (host, kernel, process id, start time, SLURM
 * job) and ends with a heartbeat: a number that a thread of the owner increments every few seconds.
 * A job that finds the file follows this rule:
 *
 *   the owner ran on this host and has ended              takes over immediately
 *   the owner runs on this host                           fails immediately, naming the owner
 *   the heartbeat changes                                 fails, naming the owner
 *   the heartbeat does not change for dead_s              takes over
 *
 * A job measures the time between reads of the file with its own clock, so the clocks of the hosts
 * need not agree. The lock does not use flock or fcntl, which some shared file systems lack: the
 * file is created by link(2), or by exclusive creation if the file system has no links. To take
 * over, a process creates `lock.after-<id of the owner>`, which only one process can do, and then
 * renames its own file to `lock`. An owner that lost its lock (suspended, or without access to the
 * file system, for longer than dead_s) detects the loss before it writes again. Programs that only
 * read do not need the lock.
 */
#ifndef RN_DATA_RUN_RUN_LOCK_H
#define RN_DATA_RUN_RUN_LOCK_H

#include <stdatomic.h>

#include "data/run/lock_record.h"
#include "proto/base/status.h"

typedef struct rn_run_lock rn_run_lock;

/** Seconds between heartbeats (beat_s), and seconds without a heartbeat after which an owner counts
 * as dead (dead_s). If `stop` is not NULL, a thread can set it to end a wait for another owner. */
typedef struct rn_run_lock_rule {
  double beat_s, dead_s;
  const atomic_bool *stop;
} rn_run_lock_rule;

/** The rule that all programs use. */
extern const rn_run_lock_rule rn_run_lock_default;

/**
 * Takes the lock of an existing folder and starts the heartbeat. May wait up to dead_s while it
 * watches another owner, and reports progress to the watchdog meanwhile (proto/base/progress.h). If
 * rule.stop is set during the wait, returns RN_OK with *out NULL and does not change the lock.
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

/** Does the same, but always reads the file: for writes by which another owner would lose data. If
 * the file cannot be read, returns RN_OK, because the write then reports the error. */
rn_status rn_run_lock_verify(rn_err *err, rn_run_lock *lock);

/** Sets `id` to the id of the owner of `run_dir`, or to "" if the lock does not exist or cannot be
 * read. Every owner has a different id, and the heartbeat does not change it. The caller need not
 * hold the lock. Errors: RN_ERR_IO. */
rn_status rn_run_lock_read_id(rn_err *err, const char *run_dir, char id[RN_RUN_LOCK_ID_BYTES]);

/** Stops the heartbeat and removes the lock if this process still owns it. Accepts NULL. */
void rn_run_lock_release(rn_run_lock **lock);

#endif
