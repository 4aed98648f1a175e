/** The checkpoint at a path, found by rank 0 and verified by all ranks, each its share. */
#ifndef RN_TRAINER_CHECKPOINT_CHECKPOINT_FIND_H
#define RN_TRAINER_CHECKPOINT_CHECKPOINT_FIND_H

#include <stdbool.h>

#include "comm/world/world.h"
#include "data/file/file.h"

/**
 * How long ranks wait for what others see: longer than network file systems keep what they know of
 * a folder (NFS: 60 s).
 */
enum { RN_FIND_PATIENCE_S = 75 };

typedef struct rn_find_how {
  bool mark_bad; /* as of rn_ckpt_find */
  bool must;     /* that there is none is an error */
  double patience_s;
} rn_find_how;

/**
 * As rn_ckpt_find, for all: *out is the folder, empty where there is none and none `must` be.
 *
 * A checkpoint that some ranks see and others do not (a shared file system that is slow to show new
 * files) is not damaged: they wait, and say so. It counts as damaged when a share of it is right
 * for no rank. Collective: over the world. Errors: those of rn_ckpt_find, agreed; RN_ERR_MISMATCH
 * naming the rank that does not see, after `patience_s`, what others see; nothing was renamed then.
 */
rn_status rn_checkpoint_find(rn_err *err, rn_world *world, const char *path, rn_find_how how,
                             rn_path *out);

#endif
