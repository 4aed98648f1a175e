/**
 * Sums over the ranks of a grid whose order is our own, or that have no order at all.
 *
 * MPI's own reductions choose their order by size and load; here floating-point sums go by rank
 * 0, 1, 2 ..., and exact sums are of integers. Weights are shared out over the replicas of a stage:
 * replica r owns elements edge[r] .. edge[r+1]-1.
 */
#ifndef RN_COMM_REDUCE_H
#define RN_COMM_REDUCE_H

#include <stdint.h>

#include "comm/grid.h"

typedef struct rn_reducer rn_reducer;

/** Bytes that sums of elements of `bytes_each` over shares of at most `longest` work with. */
size_t rn_reducer_bytes(int replicas, int64_t longest, size_t bytes_each);

/**
 * For the shares that `edge` [replicas + 1] cuts; it is copied. Takes all memory it will need.
 * Errors: RN_ERR_MEMORY, of this rank alone.
 */
rn_status rn_reducer_create(rn_err *err, const rn_grid *grid, const int64_t *edge,
                            rn_reducer **out);
void rn_reducer_destroy(rn_reducer **reducer);

/**
 * own[j] = sum over replicas, in rank order, of their gradient's element of this rank's share.
 *
 * Shapes:     gradient [total], untouched; own [count of the share], for one replica alone also
 *             the gradient itself.
 * Collective: over the replicas.
 */
rn_status rn_reduce_scatter(rn_err *err, rn_reducer *reducer, const float *gradient, float *own);

/** The same for integers, whose sums have no order. */
rn_status rn_reduce_scatter_exact(rn_err *err, rn_reducer *reducer, const int64_t *gradient,
                                  int64_t *own);

/**
 * Sums doubles over all ranks of the grid, replicas and stages, in world order: the same bits on
 * every rank. count <= RN_GRID_ROOM.
 */
rn_status rn_sum_doubles(rn_err *err, const rn_grid *grid, double *values, int count);

/**
 * values [count] of which each is set (not 0) on one rank of the grid at most: all of them on every
 * rank, bit for bit. Ranks that hold the same value may both set it.
 */
rn_status rn_join_doubles(rn_err *err, const rn_grid *grid, double *values, int64_t count);

#endif
