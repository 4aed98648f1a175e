/** The checkpoint at a path, found by rank 0 and verified by all ranks, each its share. */
#ifndef RN_TRAINER_CHECKPOINT_FIND_H
#define RN_TRAINER_CHECKPOINT_FIND_H

#include <stdbool.h>

#include "comm/world.h"
#include "data/file.h"

/**
 * As rn_ckpt_find, for all: *out is the folder, empty where there is none and none `must` be.
 *
 * A folder whose files another rank does not see is damaged for all.
 * Collective: over the world. Errors: those of rn_ckpt_find, agreed; a damage is told with the rank
 *             that met it.
 */
rn_status rn_checkpoint_find(rn_err *err, rn_world *world, const char *path, bool mark_bad,
                             bool must, rn_path *out);

#endif
