/**
 * The replicas of a stage grouped by node: the replicas of a node run on one host and share memory.
 *
 * Replicas have the indices of the grid; nodes are numbered in order of their first replica.
 */
#ifndef RN_COMM_WORLD_NODE_H
#define RN_COMM_WORLD_NODE_H

#include "comm/world/grid.h"

typedef struct rn_node rn_node;

/**
 * Groups the replicas on each host into nodes of at most `max_size` (0: no limit, 1: one replica
 * per node).
 *
 * Collective: over the world of the grid. Ownership: the grid outlives the object.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_node_create(rn_err *err, const rn_world *world, const rn_grid *grid, int max_size,
                         rn_node **out);
/** Takes NULL. Collective: over the node. */
void rn_node_destroy(rn_node **node);

/** The grid whose replicas are grouped. */
const rn_grid *rn_node_grid(const rn_node *node);

/** Replicas on this rank's node, this rank's index among them, and their communicator. */
int rn_node_size(const rn_node *node);
int rn_node_index(const rn_node *node);
MPI_Comm rn_node_comm(const rn_node *node);

/**
 * Waits for all ranks of the node; each then sees what the others wrote before.
 * Collective: over the node. Errors: RN_ERR_MPI.
 */
rn_status rn_node_barrier(rn_err *err, const rn_node *node);

/** Nodes of the stage, the node of a replica, and the replicas on the largest node. */
int rn_node_count(const rn_node *node);
int rn_node_of(const rn_node *node, int replica);
int rn_node_largest(const rn_node *node);

/** The replica on node `to` that receives the shards of replica `from`, which is on another node.
 */
int rn_node_receiver(const rn_node *node, int from, int to);

#endif
