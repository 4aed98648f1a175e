/**
 * Shares of an array that all replicas of a stage read are brought to every copy of it.
 *
 * A node holds one copy (comm/optimizer/shared_array.h). Inside it nothing is moved: a bucket is
 * whole when each rank of the node has said that its share is written and that what it takes for
 * all has come. Between nodes each share goes once to each node, to the rank that rn_node_receiver
 * names. Buckets arrive in their order, while the ranks go on with what they have.
 */
#ifndef RN_COMM_OPTIMIZER_ALL_GATHER_H
#define RN_COMM_OPTIMIZER_ALL_GATHER_H

#include <stdbool.h>

#include "comm/optimizer/shards.h"
#include "comm/world/node.h"

typedef struct rn_all_gather rn_all_gather;

/**
 * For the array `values` of elements of `bytes_each`, one a node.
 *
 * Collective: over the world. Ownership: node, shares and values outlive it.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_all_gather_create(rn_err *err, const rn_world *world, const rn_grid *grid,
                               const rn_node *node, const rn_optimizer_shards *shares, void *values,
                               size_t bytes_each, rn_all_gather **out);
/** Ends what is under way. Collective: over the replicas. */
void rn_all_gather_destroy(rn_all_gather **all_gather);

/**
 * This rank's shares are written: they go out, and the others' come in. From here to
 * rn_all_gather_finish the array is read only.
 *
 * Collective: over the replicas, none of which reads the values of before any more.
 */
rn_status rn_all_gather_start(rn_err *err, rn_all_gather *all_gather);

/**
 * Waits until buckets 0 .. bucket are whole.
 *
 * Collective: each replica of the node waits for every bucket, or finishes, sooner or later.
 */
rn_status rn_all_gather_wait(rn_err *err, rn_all_gather *all_gather, int bucket);

/** Whether buckets 0 .. bucket were seen to be whole: then nobody need wait. */
bool rn_all_gather_has(const rn_all_gather *all_gather, int bucket);

/** All buckets are whole, and this rank's shares have gone: they may be written again. */
rn_status rn_all_gather_finish(rn_err *err, rn_all_gather *all_gather);

#endif
