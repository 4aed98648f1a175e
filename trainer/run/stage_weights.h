/**
 * The weights of this rank's stage: one copy a node where that can be (parallel.share_weights).
 *
 * Each replica writes its own shares only; the others' are brought by comm/optimizer/all_gather.h.
 */
#ifndef RN_TRAINER_RUN_STAGE_WEIGHTS_H
#define RN_TRAINER_RUN_STAGE_WEIGHTS_H

#include <stdbool.h>

#include "comm/optimizer/all_gather.h"
#include "comm/optimizer/shared_array.h"
#include "proto/schema/config.pb-c.h"

typedef struct rn_weights {
  rn_node *node; /* who shares with whom */
  rn_shared_array *memory;
  rn_shared_array *copy; /* in bf16; NULL where products read none, or nobody shares */
  bool rounded;          /* the copy is of the weights as they are */
  rn_all_gather *all_gather;
  int64_t shared_bytes; /* of the arrays that a node's ranks share */
  int together; /* ranks that share a copy, on the fullest node of all stages; 1: nobody shares */
} rn_weights;

/**
 * Zeroed weights for a stage of `total`, and room of `copy_bytes` for a copy in bf16, owned as
 * `shares` says (not owned, outlives them).
 *
 * auto shares where the ranks of a stage have company on a node and every node has room, else says
 * why not. RETNET_NODE_RANKS in the environment makes a host look like several nodes, of so many
 * ranks of a stage each: for tests of what passes between nodes.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_USAGE naming the key where it is on and cannot be; RN_ERR_MEMORY; agreed.
 */
rn_status rn_weights_create(rn_err *err, const Retnet__Config *config, rn_world *world,
                            const rn_grid *grid, const rn_optimizer_shards *shares, int64_t total,
                            size_t copy_bytes, rn_weights *out);
/** Bytes that this rank's node holds once for all its ranks, counted at one of them; 0 elsewhere.
 */
int64_t rn_weights_shared_bytes(const rn_weights *weights);

/** Collective: over the world. */
void rn_weights_destroy(rn_weights *weights);

#endif
