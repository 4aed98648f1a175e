/**
 * Reduce-scatters gradients over the replicas of a stage and sums small arrays over all ranks of a
 * grid, both with reproducible results.
 *
 * The order in which MPI_Reduce adds may depend on message size and load. Here floating-point
 * values are added in rank order 0, 1, 2, ...; exact sums add integers, for which the order does
 * not matter. Gradients are summed bucket by bucket while ranks still compute other buckets. The
 * order in which messages arrive does not affect the result.
 *
 * Gradients of ranks on the same node may be in peer memory (comm/optimizer/peer_memory.h). A rank
 * then reads them in place, with all its threads, as soon as their owners have marked them as
 * complete; no rank waits for a late rank before rn_reduce_scatter_finish. Messages carry only
 * gradients of other nodes, already summed over each node where possible
 * (comm/optimizer/node_sums.h). Values are added in the same order in all these cases, so the
 * result is bitwise the same.
 */
#ifndef RN_COMM_OPTIMIZER_REDUCE_SCATTER_H
#define RN_COMM_OPTIMIZER_REDUCE_SCATTER_H

#include <stdint.h>

#include "comm/optimizer/gradient_sum.h"
#include "comm/optimizer/peer_memory.h"
#include "comm/optimizer/shards.h"
#include "comm/world/grid.h"

typedef struct rn_reduce_scatter rn_reduce_scatter;

/** Operands of a reduction. */
typedef struct rn_reduce_operands {
  rn_reduce_kind kind; /* element type of gradients and sums */
  void *own; /* sums of this rank's shards, concatenated by bucket; may be NULL with a single
                replica, whose gradients are already the sums */
  const rn_peer_memory *peers; /* peer memory that holds this rank's gradients, at the same offsets
                                  on all ranks; NULL: all gradients are sent in messages */
} rn_reduce_operands;

/**
 * Returns the size in bytes of the receive buffers of one rank. `senders` is the number of ranks
 * whose gradients arrive in messages; `longest` is the number of elements of the largest shard. Not
 * collective. Errors: none.
 */
size_t rn_reduce_scatter_bytes(int senders, int64_t longest, rn_reduce_kind kind);

/**
 * Creates the reduce-scatter. For each element of this rank's shards, `own` receives the sum of the
 * gradients of all replicas, in rank order.
 *
 * Collective: over the world. Ownership: grid, shards, arrays and peer memory outlive the
 *             object.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_reduce_scatter_create(rn_err *err, const rn_grid *grid,
                                   const rn_optimizer_shards *shards, rn_reduce_operands operands,
                                   rn_reduce_scatter **out);
/** Frees the object; accepts NULL. No bucket may be in flight. Collective: over the replicas.
 * Errors: none. */
void rn_reduce_scatter_destroy(rn_reduce_scatter **reduce_scatter);

/** Returns the number of bytes of gradients that this rank has passed to other ranks since
 * creation, in messages or in peer memory. Not collective. Errors: none. */
int64_t rn_reduce_scatter_bytes_sent(const rn_reduce_scatter *reduce_scatter);

/**
 * Starts the reduction of a bucket. `gradient` [elements of the bucket] must be complete on this
 * rank and must not change until rn_reduce_scatter_release returns. Does not wait.
 *
 * Collective: over the replicas; all start the buckets in the same order.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_reduce_scatter_start(rn_err *err, rn_reduce_scatter *reduce_scatter, int bucket,
                                  const void *gradient);

/**
 * Waits until all buckets are summed; `own` is then complete. Each bucket must have been started
 * once.
 * Collective: over the replicas. Errors: RN_ERR_MPI.
 */
rn_status rn_reduce_scatter_finish(rn_err *err, rn_reduce_scatter *reduce_scatter);

/**
 * Waits until no rank reads this rank's gradients any more; on return they may be overwritten. Call
 * it after rn_reduce_scatter_finish; repeated calls are harmless.
 * Collective: over the replicas. Errors: none.
 */
void rn_reduce_scatter_release(const rn_reduce_scatter *reduce_scatter);

/**
 * Sums values [count] over all ranks of the grid, in world order; the result is bitwise the same on
 * every rank. count <= RN_GRID_SCRATCH.
 *
 * Collective: over the grid.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_sum_doubles(rn_err *err, const rn_grid *grid, double *values, int count);

/**
 * Combines values [count] of all ranks by a bitwise OR, so that each rank can contribute some of
 * the elements: it sets these and leaves the others 0. If several ranks set an element, they must
 * set it to the same bits.
 *
 * Collective: over the grid.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_gather_ordered(rn_err *err, const rn_grid *grid, double *values, int64_t count);

#endif
