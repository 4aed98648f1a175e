/**
 * Reduce-scatter of gradients and small sums over the ranks of a grid, with a fixed result.
 *
 * MPI reductions may choose their order by message size and load. Here floating-point sums are
 * taken in rank order 0, 1, 2, ..., and exact sums add integers, for which order does not matter.
 * Gradients are summed bucket by bucket while ranks still compute other buckets; the arrival order
 * of messages does not affect the result.
 */
#ifndef RN_COMM_OPTIMIZER_REDUCE_SCATTER_H
#define RN_COMM_OPTIMIZER_REDUCE_SCATTER_H

#include <stdint.h>

#include "comm/optimizer/shards.h"
#include "comm/world/grid.h"

typedef struct rn_reduce_scatter rn_reduce_scatter;

/** Elements: float, summed in rank order, or int64_t. */
typedef enum { RN_REDUCE_FLOAT, RN_REDUCE_EXACT } rn_reduce_kind;

/** What is summed, and where the sums of this rank's shards go. */
typedef struct rn_reduce_operands {
  rn_reduce_kind kind; /* of gradients and sums */
  void *own;           /* [this rank's shards, concatenated by bucket]; with a single replica also
                          NULL: the gradients are the sums */
} rn_reduce_operands;

/**
 * Bytes of receive buffers for `replicas` whose largest shard has `longest` elements.
 * Not collective. Errors: none.
 */
size_t rn_reduce_scatter_bytes(int replicas, int64_t longest, rn_reduce_kind kind);

/**
 * own = sum over replicas, in rank order, of the elements of the gradients in this rank's shards.
 *
 * Collective: over the world. Ownership: grid, shards and arrays outlive the object.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_reduce_scatter_create(rn_err *err, const rn_grid *grid,
                                   const rn_optimizer_shards *shards, rn_reduce_operands operands,
                                   rn_reduce_scatter **out);
/** Takes NULL; no bucket is in flight. Collective: over the replicas. Errors: none. */
void rn_reduce_scatter_destroy(rn_reduce_scatter **reduce_scatter);

/** Bytes of gradients that this rank sent since create. Not collective. Errors: none. */
int64_t rn_reduce_scatter_bytes_sent(const rn_reduce_scatter *reduce_scatter);

/**
 * Starts the reduction of a bucket. `gradient` [elements of the bucket] is complete on this rank
 * and must not change until rn_reduce_scatter_finish. Does not wait.
 *
 * Collective: over the replicas; all start the buckets in the same order.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_reduce_scatter_start(rn_err *err, rn_reduce_scatter *reduce_scatter, int bucket,
                                  const void *gradient);

/**
 * Waits until all buckets, each of which was started once, are summed; `own` is then complete.
 * Collective: over the replicas. Errors: RN_ERR_MPI.
 */
rn_status rn_reduce_scatter_finish(rn_err *err, rn_reduce_scatter *reduce_scatter);

/**
 * Sums doubles over all ranks of the grid, in world order: bitwise the same on every rank.
 * count <= RN_GRID_SCRATCH.
 *
 * Collective: over the grid.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_sum_doubles(rn_err *err, const rn_grid *grid, double *values, int count);

/**
 * Merges values [count] so that every rank has all of them, bit for bit. Each value is nonzero on
 * at most one rank of the grid, or has the same bits on all ranks where it is nonzero.
 *
 * Collective: over the grid.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_gather_ordered(rn_err *err, const rn_grid *grid, double *values, int64_t count);

#endif
