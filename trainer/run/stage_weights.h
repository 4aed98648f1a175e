/**
 * The weights of this rank's stage. The replicas of a stage on one node share one copy where
 * possible (parallel.share_weights).
 *
 * Each replica writes only its own shards; comm/optimizer/all_gather.h fetches those of the others.
 */
#ifndef RN_TRAINER_RUN_STAGE_WEIGHTS_H
#define RN_TRAINER_RUN_STAGE_WEIGHTS_H

#include <stdbool.h>

#include "comm/optimizer/all_gather.h"
#include "comm/optimizer/shared_array.h"
#include "proto/schema/config.pb-c.h"

typedef struct rn_weights {
  rn_node *node; /* the ranks that share one copy */
  rn_shared_array *memory;
  rn_shared_array *copy; /* bf16 shadow; NULL if products read none or the copy is not shared */
  bool rounded;          /* the bf16 shadow matches the current weights */
  rn_all_gather *all_gather;
  int64_t shared_bytes; /* of both arrays */
  int together;         /* most ranks that share a copy, over all nodes and stages; 1: none share */
} rn_weights;

/**
 * Allocates zeroed weights for a stage of `total` elements and, if ranks share them, `copy_bytes`
 * for the bf16 shadow. `shares` says which replica owns what.
 *
 * With parallel.share_weights auto, ranks share if a node has several ranks of one stage and every
 * node has enough shared memory; if memory is insufficient, a warning gives the reason. For tests
 * of communication between nodes, the environment variable RETNET_NODE_RANKS=n splits a host into
 * nodes with n ranks of a stage each.
 *
 * Collective: over the world.
 * Ownership:  the caller keeps `shares`, which must outlive the weights.
 * Errors:     RN_ERR_USAGE naming the key if it is on and sharing is impossible, or naming the
 *             variable if it is not a number of 1 or more; RN_ERR_MEMORY;
 *             agreed.
 */
rn_status rn_weights_create(rn_err *err, const Retnet__Config *config, rn_world *world,
                            const rn_grid *grid, const rn_optimizer_shards *shares, int64_t total,
                            size_t copy_bytes, rn_weights *out);
/** Bytes that the ranks of this node share, reported by one of them; 0 on the others. */
int64_t rn_weights_shared_bytes(const rn_weights *weights);

/** Collective: over the world. */
void rn_weights_destroy(rn_weights *weights);

#endif
