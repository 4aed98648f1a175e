/** Finds the checkpoint at a path: rank 0 searches, and each rank verifies a share of the data. */
#ifndef RN_TRAINER_CHECKPOINT_CHECKPOINT_FIND_H
#define RN_TRAINER_CHECKPOINT_CHECKPOINT_FIND_H

#include <stdbool.h>

#include "comm/world/world.h"
#include "data/file/file.h"

/**
 * Seconds to wait for files that other ranks already see. Network file systems cache directory
 * entries for a shorter time (NFS: 60 s).
 */
enum { RN_FIND_TIMEOUT_S = 75 };

typedef struct rn_find_options {
  bool mark_bad; /* rename damaged checkpoints, as rn_ckpt_find does */
  bool must;     /* true if finding no checkpoint is an error */
  double timeout_s;
} rn_find_options;

/**
 * Like rn_ckpt_find, but collective. Sets *out to the path of the step folder, or to "" if there is
 * none and `must` is false.
 *
 * A checkpoint that only some ranks see is not damaged: a shared file system may be slow to show
 * new files. All ranks then wait, and rank 0 reports the wait. A checkpoint is damaged if it has a
 * share that no rank can verify.
 *
 * Collective: over the world.
 * Errors:     those of rn_ckpt_find, agreed; RN_ERR_MISMATCH naming the rank that still does not
 *             see the files after `timeout_s` seconds; no folder is renamed in this case.
 */
rn_status rn_checkpoint_find(rn_err *err, rn_world *world, const char *path, rn_find_options how,
                             rn_path *out);

#endif
