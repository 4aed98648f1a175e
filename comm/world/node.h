/**
 * Groups the replicas of a stage by node; the replicas of a node run on one host and share memory.
 *
 * A replica is identified by its index (rn_grid_replica). Nodes are numbered in the order of their
 * first replicas.
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
/**
 * Reads *max_size from the environment variable RETNET_NODE_RANKS; sets it to 0 (all ranks of a
 * host) if the variable is not set. Tests of the communication between nodes use the variable to
 * split a host into nodes.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_USAGE, agreed, naming the variable, if its value is not an integer >= 0;
 *             RN_ERR_MPI.
 */
rn_status rn_node_read_limit(rn_err *err, const rn_world *world, int *max_size);

/** Frees the object; accepts NULL. Collective: over the node. Errors: none. */
void rn_node_destroy(rn_node **node);

/** Returns the grid whose replicas are grouped. Not collective. Errors: none. */
const rn_grid *rn_node_grid(const rn_node *node);

/** Returns the number of replicas on this rank's node. Not collective. Errors: none. */
int rn_node_size(const rn_node *node);

/** Returns this rank's index among the replicas on its node. Not collective. Errors: none. */
int rn_node_index(const rn_node *node);

/** Returns the communicator of the replicas on this rank's node. Not collective. Errors: none. */
MPI_Comm rn_node_comm(const rn_node *node);

/**
 * Waits for all ranks of the node; afterwards each rank sees what the others wrote to shared memory
 * before the call.
 * Collective: over the node. Errors: RN_ERR_MPI.
 */
rn_status rn_node_barrier(rn_err *err, const rn_node *node);

/** Returns the number of nodes of the stage. Not collective. Errors: none. */
int rn_node_count(const rn_node *node);

/** Returns the node of a replica. Not collective. Errors: none. */
int rn_node_of(const rn_node *node, int replica);

/** Returns the number of replicas on the largest node. Not collective. Errors: none. */
int rn_node_largest(const rn_node *node);

/**
 * Returns the replica on node `to` that receives the shards of replica `from`, which is on another
 * node.
 * Not collective. Errors: none.
 */
int rn_node_receiver(const rn_node *node, int from, int to);

#endif
