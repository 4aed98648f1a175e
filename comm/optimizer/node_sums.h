/**
 * Sums gradients over nodes by sending a partial sum of each slice of a bucket from node to node.
 *
 * The replicas of a node have consecutive indices and read each other's gradients in place
 * (comm/optimizer/peer_memory.h). Each of them sums some of the slices: it receives their partial
 * sums over the previous nodes, adds the gradients of its node's ranks in rank order, and sends the
 * results to the next node. The last node sends each slice to the rank that owns it. Values are
 * thus added in rank order, as if each rank had sent its gradient to the owner, but a node receives
 * and sends each element once instead of once per rank.
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
 * True if this algorithm can be used and saves traffic: there are several nodes, with three or more
 * replicas per node on average, and the replicas of each node are consecutive. All replicas get the
 * same result. Not collective. Errors: none.
 */
bool rn_node_sums_apply(const rn_node *node);

/** The operands of the reduction; see rn_reduce_operands. */
typedef struct rn_node_sums_operands {
  MPI_Comm comm; /* communicator of the replicas, reserved for these sums */
  const rn_node *node;
  const rn_optimizer_shards *shards;
  const rn_peer_memory *peers;
  rn_reduce_kind kind;
  char *own;
  const int64_t *at; /* [buckets] offset in `own` of this rank's shard of each bucket */
} rn_node_sums_operands;

/**
 * Creates the object that sums over nodes. Collective: no. Ownership: the operands must outlive the
 * object. Errors: RN_ERR_MEMORY, possibly on some ranks only.
 */
rn_status rn_node_sums_create(rn_err *err, rn_node_sums_operands operands, rn_node_sums **out);
/** Frees the object; accepts NULL. No bucket may be in flight. Collective: no. Errors: none. */
void rn_node_sums_destroy(rn_node_sums **node_sums);

/** Starts the summation of a bucket; all replicas start the buckets in the same order. Does not
 * wait. `gradient` is this rank's gradient of the bucket, in peer memory. Collective: over the
 * replicas. Errors: RN_ERR_MPI. */
rn_status rn_node_sums_start(rn_err *err, rn_node_sums *node_sums, int bucket,
                             const char *gradient);

/**
 * Progresses without waiting. Sets *done to the number of buckets for which this rank has nothing
 * left to do; `own` is complete when *done equals the total number of buckets. `earlier` is the
 * number of buckets in all earlier rounds. Not collective. Errors: RN_ERR_MPI.
 */
rn_status rn_node_sums_progress(rn_err *err, rn_node_sums *node_sums, int64_t earlier, int *done);

/** Ends a round, in which each bucket is summed once; all buckets must be done. Not collective.
 * Errors: none. */
void rn_node_sums_end_round(rn_node_sums *node_sums);

#endif
