/**
 * Saves beside the training: the state is copied, a thread compresses and writes the copy, and the
 * loop goes on.
 *
 * Every rank writes its share of weights, moments and carried states; the ranks of a node write a
 * few files, neighbours one after the other (comm/world/write_token.h). So shares never travel and
 * nobody holds another's, whatever the number of ranks. Only the calling thread speaks MPI: it
 * starts a save, asks at step boundaries whether writers are done, and then finishes it, which
 * gives the checkpoint its name. There is one save at a time. Without checkpoint.async nothing is
 * copied, and all is written when rn_saver_start returns. trainer/checkpoint/saving.h decides when.
 */
#ifndef RN_TRAINER_CHECKPOINT_SAVER_H
#define RN_TRAINER_CHECKPOINT_SAVER_H

#include "comm/world/write_token.h"
#include "trainer/run/run.h"

typedef struct rn_saver rn_saver;

/** What saves have cost this rank so far. */
typedef struct rn_save_costs {
  int64_t saves, failed;          /* that are on disk; that are not */
  double stop_s;                  /* training stalled, over all saves */
  double copy_s;                  /* of that: copying this rank's share */
  double wait_s;                  /* for a save that was not done when the next was due */
  double write_s;                 /* of the threads */
  double raw_bytes, stored_bytes; /* of the last whole save, all ranks; on rank 0 */
} rn_save_costs;

/**
 * Memory for the staged copy is taken here. Ownership: `turns` outlives it, and is its alone.
 * Errors: RN_ERR_MEMORY, of this rank alone.
 */
rn_status rn_saver_create(rn_err *err, rn_run *run, rn_write_token *write_token, rn_saver **out);

/** Ends the thread; a save that was not finished stays without a name. Takes NULL too. */
void rn_saver_destroy(rn_saver **saver);

/**
 * Starts a save of the run's state as it is now; none may be under way.
 *
 * Collective: over the world. Errors: RN_ERR_IO and its like, agreed; no save is under way then.
 */
rn_status rn_saver_start(rn_err *err, rn_saver *saver);

/** The step of the save under way, -1 for none; and whether this rank's writer is at work. */
int64_t rn_saver_step(const rn_saver *saver);
bool rn_saver_is_writing(const rn_saver *saver);

/** The step of the last save that succeeded, -1 for none. */
int64_t rn_saver_saved_step(const rn_saver *saver);

/**
 * Waits for all writers, names the checkpoint, then removes all but the newest `keep_last` (0: all
 * stay; checkpoint.keep_every holds too), and tells what the save cost. Nothing under way: nothing
 * to do.
 *
 * RN_OK means that the state is on disk; that older checkpoints could not be removed is a warning.
 * Collective: over the world. Errors: of any writer, agreed; nothing old is removed before the new
 * is whole.
 */
rn_status rn_saver_finish(rn_err *err, rn_saver *saver, int keep_last);

/**
 * Waits for all writers and removes what they wrote: the save under way is not wanted.
 * Collective: over the world. Errors: RN_ERR_IO on rank 0 alone; RN_ERR_MPI.
 */
rn_status rn_saver_drop(rn_err *err, rn_saver *saver);

const rn_save_costs *rn_saver_costs(const rn_saver *saver);

#endif
