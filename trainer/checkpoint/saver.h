/**
 * Saves checkpoints asynchronously: the state is copied, and a thread compresses and writes the
 * copy while training continues.
 *
 * Every rank writes its shard of weights, moments and TBPTT states. The ranks of a node write a few
 * files, in which they take turns (comm/world/write_token.h), so no rank sends its shard to another
 * rank. Only the calling thread calls MPI. It starts a save, checks at step boundaries whether the
 * writers are done, and then finishes the save, which gives the checkpoint its final name. At most
 * one save is in progress. Without checkpoint.async nothing is copied, and everything is written
 * when rn_saver_start returns. trainer/checkpoint/saving.h decides when to save.
 */
#ifndef RN_TRAINER_CHECKPOINT_SAVER_H
#define RN_TRAINER_CHECKPOINT_SAVER_H

#include "comm/world/write_token.h"
#include "data/run/run_lock.h"
#include "trainer/run/run.h"

typedef struct rn_saver rn_saver;

typedef struct rn_save_times {
  double stop_s;  /* time that training stalled, except wait_s */
  double copy_s;  /* part of stop_s: copying this rank's shard */
  double wait_s;  /* time spent waiting for writers */
  double write_s; /* time in the writer threads */
} rn_save_times;

/** The cost of all saves so far on this rank. */
typedef struct rn_save_costs {
  int64_t saves, failed;          /* number of saves that succeeded, and number that failed */
  rn_save_times times;            /* sums over the saves that succeeded */
  double raw_bytes, stored_bytes; /* last complete save, summed over all ranks; rank 0 only */
} rn_save_costs;

/**
 * Allocates the saver and the memory for the staged copy.
 *
 * Ownership: `run`, `lock` (of run.dir; NULL on all ranks but 0) and `write_token` must outlive the
 *            saver; no other object may use `write_token`.
 * Errors:    RN_ERR_MEMORY, on this rank only.
 */
rn_status rn_saver_create(rn_err *err, const rn_run *run, rn_run_lock *lock,
                          rn_write_token *write_token, rn_saver **out);

/** Joins the thread; an unfinished save keeps its .tmp folder. Accepts NULL. */
void rn_saver_destroy(rn_saver **saver);

/**
 * Starts a save of the current state of the run; no save may be in progress.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_IO, RN_ERR_BUSY, RN_ERR_MEMORY, agreed; after an error no save is in progress.
 */
rn_status rn_saver_start(rn_err *err, rn_saver *saver);

/** Returns the step of the save in progress; -1 if there is none. */
int64_t rn_saver_step(const rn_saver *saver);
/** True while this rank is writing the save in progress. */
bool rn_saver_is_writing(const rn_saver *saver);

/**
 * Returns an estimate of the time of the next save in seconds: the mean of the saves that
 * succeeded, or, as long as there is none, the time to write this rank's shard at 50 MB/s.
 */
double rn_saver_expected_s(const rn_saver *saver);

/** Returns the step of the last save that succeeded; -1 if there is none, or if the run has rolled
 * back since then. */
int64_t rn_saver_saved_step(const rn_saver *saver);

/** Called after the run has rolled back: its state is now in no checkpoint, not even in that of the
 * step to which it has returned, because the data position and the rollbacks differ. */
void rn_saver_rolled_back(rn_saver *saver);

/**
 * Waits for all writers, gives the checkpoint its final name, prunes old checkpoints, and reports
 * the cost. Pruning keeps the newest `keep_last` checkpoints (0: all) and those that
 * checkpoint.keep_every keeps. Does nothing if no save is in progress.
 *
 * RN_OK means that the state is on disk; a failure to remove older checkpoints is only a warning.
 * Nothing is removed before the new checkpoint is complete. If `keep_last` is 1, it is read back
 * first; if it is damaged, it is renamed to step-N.bad, and the save fails.
 *
 * Collective: over the world.
 * Errors:     those of any writer and of reading the checkpoint back, agreed.
 */
rn_status rn_saver_finish(rn_err *err, rn_saver *saver, int keep_last);

/**
 * Cancels the save in progress: waits for all writers and removes their files.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_IO on rank 0 only; RN_ERR_BUSY on rank 0 only, if another job owns the run
 * now: then nothing is removed; RN_ERR_MPI.
 */
rn_status rn_saver_drop(rn_err *err, rn_saver *saver);

/** Returns the cost of all saves so far. */
const rn_save_costs *rn_saver_costs(const rn_saver *saver);

#endif
