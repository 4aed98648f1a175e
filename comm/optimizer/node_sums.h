/**
 * Sums of gradients over nodes: a partial sum of each slice of a bucket goes from node to node.
 *
 * The ranks of a node read each other's gradients in place (comm/optimizer/peer_memory.h) and have
 * consecutive ranks. Each of them adds, for its part of the slices, the gradients of its node's
 * ranks to the partial sum of the nodes before, in rank order, and passes it on; the last node
 * sends each slice to the rank that owns it. So the order of the sum is the order of the ranks, as
 * if each rank had sent its gradient to the owner, but a node receives and sends each element once
 * instead of once for each of its ranks.
 */
#ifndef RN_COMM_OPTIMIZER_NODE_SUMS_H
#define RN_COMM_OPTIMIZER_NODE_SUMS_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/optimizer/gradient_sum.h"
#include "comm/optimizer/peer_memory.h"
#include "comm/optimizer/shards.h"

typedef struct rn_node_sums rn_node_sums;

/**
 * True if sums over nodes pay: several nodes, of consecutive replicas, with three replicas or more
 * on average (with fewer, it saves no traffic). The same on all replicas. Not collective. Errors:
 * none.
 */
bool rn_node_sums_serves(const rn_node *node);

/** The reduction that is carried out; see rn_reduce_operands. */
typedef struct rn_node_sums_operands {
  MPI_Comm comm; /* of the replicas; used by nothing else */
  const rn_node *node;
  const rn_optimizer_shards *shards;
  const rn_peer_memory *peers;
  rn_reduce_kind kind;
  char *own;
  const int64_t *at; /* [buckets] offset in `own` of this rank's shard of each bucket */
} rn_node_sums_operands;

/**
 * Creates the sums over nodes. Collective: no. Ownership: the operands outlive it. Errors:
 * RN_ERR_MEMORY, not agreed.
 */
rn_status rn_node_sums_create(rn_err *err, rn_node_sums_operands operands, rn_node_sums **out);
/** Takes NULL. No bucket may be in flight. Collective: no. Errors: none. */
void rn_node_sums_destroy(rn_node_sums **node_sums);

/** Starts a bucket; all replicas start them in the same order. Does not wait. `gradient` is this
 * rank's gradient of the bucket, in peer memory. Collective: over the replicas. Errors: RN_ERR_MPI.
 */
rn_status rn_node_sums_start(rn_err *err, rn_node_sums *node_sums, int bucket,
                             const char *gradient);

/**
 * Progresses without waiting. Sets *done to the number of buckets that need nothing more of this
 * rank; `own` is complete when it has reached the number of all buckets. `earlier` is the number of
 * buckets in all earlier rounds. Not collective. Errors: RN_ERR_MPI.
 */
rn_status rn_node_sums_progress(rn_err *err, rn_node_sums *node_sums, int64_t earlier, int *done);

/** Ends a round, in which all buckets are done. Not collective. Errors: none. */
void rn_node_sums_end_round(rn_node_sums *node_sums);

#endif
