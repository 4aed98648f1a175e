/**
 * All-gathers an array (the weights of a stage) over the replicas of the stage.
 *
 * A node holds one copy of the array (comm/optimizer/shared_array.h), so nothing is copied inside a
 * node: a bucket is complete when every rank of the node has written its own shard and the shards
 * of other nodes have arrived. Between nodes, each shard is sent once to each node, to the rank
 * that rn_node_receiver returns. Buckets complete in order, and ranks compute with the buckets that
 * are complete while later ones are in flight.
 */
#ifndef RN_COMM_OPTIMIZER_ALL_GATHER_H
#define RN_COMM_OPTIMIZER_ALL_GATHER_H

#include <stdbool.h>

#include "comm/optimizer/shards.h"
#include "comm/world/node.h"

typedef struct rn_all_gather rn_all_gather;

/**
 * Creates the all-gather of `values`, one copy per node, with elements of `bytes_each` bytes.
 *
 * Collective: over the world. Ownership: node, shards and values outlive the object.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_all_gather_create(rn_err *err, const rn_node *node, const rn_optimizer_shards *shards,
                               void *values, size_t bytes_each, rn_all_gather **out);
/** Completes pending messages and frees the object; accepts NULL. Collective: over the replicas.
 * Errors: none. */
void rn_all_gather_destroy(rn_all_gather **all_gather);

/**
 * Starts to send this rank's shards, which must be complete, and to receive those of the other
 * ranks. The array is read-only until rn_all_gather_finish returns.
 *
 * Collective: over the replicas; none of them may still be reading the old values.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_all_gather_start(rn_err *err, rn_all_gather *all_gather);

/**
 * Waits until buckets 0..bucket are complete.
 *
 * Collective: over the replicas of the node, each of which must eventually wait for every bucket or
 *             call rn_all_gather_finish.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_all_gather_wait(rn_err *err, rn_all_gather *all_gather, int bucket);

/** True if buckets 0..bucket are known to be complete. Not collective. Errors: none. */
bool rn_all_gather_is_complete(const rn_all_gather *all_gather, int bucket);

/**
 * Waits until all buckets are complete and this rank's shards are sent; on return the rank may
 * write its shards again.
 * Collective: over the replicas. Errors: RN_ERR_MPI.
 */
rn_status rn_all_gather_finish(rn_err *err, rn_all_gather *all_gather);

#endif
