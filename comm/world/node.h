/**
 * The replicas of a stage by node: which of them live on one host and can share memory.
 *
 * Replicas are numbered as in the grid, nodes by their first replica.
 */
#ifndef RN_COMM_WORLD_NODE_H
#define RN_COMM_WORLD_NODE_H

#include "comm/world/grid.h"

typedef struct rn_node rn_node;

/**
 * Puts at most `most` replicas of a host together: 0: all of them, 1: everyone alone; between,
 * a host looks like several nodes.
 *
 * Collective: over the world of the grid. Ownership: the grid outlives it.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_node_create(rn_err *err, const rn_world *world, const rn_grid *grid, int most,
                         rn_node **out);
void rn_node_destroy(rn_node **node);

/** Replicas on this rank's node, this rank's place among them, and their communicator. */
int rn_node_size(const rn_node *node);
int rn_node_index(const rn_node *node);
MPI_Comm rn_node_comm(const rn_node *node);

/** Until all ranks of the node are there: what each has written before, all see. */
rn_status rn_node_barrier(rn_err *err, const rn_node *node);

/** Nodes of the stage, the one that a replica lives on, and how many the fullest one holds. */
int rn_node_count(const rn_node *node);
int rn_node_of(const rn_node *node, int replica);
int rn_node_fullest(const rn_node *node);

/** The replica on node `to` that takes what replica `from` of another node brings, for all there.
 */
int rn_node_receiver(const rn_node *node, int from, int to);

#endif
