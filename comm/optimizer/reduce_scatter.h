/**
 * Sums over the ranks of a grid whose order is our own, or that have no order at all.
 *
 * MPI's own reductions choose their order by size and load; here floating-point sums go by rank
 * 0, 1, 2 ..., and exact sums are of integers. Gradients are summed bucket by bucket while the
 * ranks still work on others: what arrives when changes nothing in a sum.
 */
#ifndef RN_COMM_OPTIMIZER_REDUCE_SCATTER_H
#define RN_COMM_OPTIMIZER_REDUCE_SCATTER_H

#include <stdint.h>

#include "comm/optimizer/shards.h"
#include "comm/world/grid.h"

typedef struct rn_reduce_scatter rn_reduce_scatter;

/** What is summed: floats in rank order, or integers. */
typedef enum { RN_REDUCE_FLOAT, RN_REDUCE_EXACT } rn_reduce_kind;

/** Bytes that sums over `replicas` work with, whose shares have `longest` elements at most. */
size_t rn_reduce_scatter_bytes(int replicas, int64_t longest, rn_reduce_kind kind);

/**
 * own = sum over replicas, in rank order, of their gradients' elements of this rank's shares.
 *
 * Shapes:     gradient [total]; own [this rank's shares, one bucket's behind the other's], for one
 *             replica alone also the gradient itself.
 * Collective: over the world. Ownership: grid, shares and arrays outlive it.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_reduce_scatter_create(rn_err *err, const rn_world *world, const rn_grid *grid,
                                   const rn_optimizer_shards *shares, rn_reduce_kind kind,
                                   const void *gradient, void *own, rn_reduce_scatter **out);
void rn_reduce_scatter_destroy(rn_reduce_scatter **reduce_scatter);

/** Bytes of gradients that this rank has sent since create. */
int64_t rn_reduce_scatter_bytes_sent(const rn_reduce_scatter *reduce_scatter);

/**
 * This rank's gradient of the bucket is whole and stays untouched until the round is finished.
 * Waits for nobody.
 *
 * Collective: over the replicas; all start the buckets in the same order.
 */
rn_status rn_reduce_scatter_start(rn_err *err, rn_reduce_scatter *reduce_scatter, int bucket);

/** Ends the round, in which every bucket was started: own is whole. */
rn_status rn_reduce_scatter_finish(rn_err *err, rn_reduce_scatter *reduce_scatter);

/**
 * Sums doubles over all ranks of the grid, replicas and stages, in world order: the same bits on
 * every rank. count <= RN_GRID_SCRATCH.
 */
rn_status rn_sum_doubles(rn_err *err, const rn_grid *grid, double *values, int count);

/**
 * values [count] of which each is set (not 0) on one rank of the grid at most: all of them on every
 * rank, bit for bit. Ranks that hold the same value may both set it.
 */
rn_status rn_gather_ordered(rn_err *err, const rn_grid *grid, double *values, int64_t count);

#endif
