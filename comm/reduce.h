/**
 * Sums over the replicas of a stage in an order of our own, which the grid fixes: rank 0, 1, 2 ...
 *
 * MPI's own reductions choose their order by size and load; here the same grid gives the same bits.
 * Weights are cut evenly over the replicas: replica i owns rn_cut(total, replicas, i).
 */
#ifndef RN_COMM_REDUCE_H
#define RN_COMM_REDUCE_H

#include <stdint.h>

#include "comm/grid.h"

/**
 * own[j] = sum over replicas, in rank order, of their gradient's element of this rank's cut.
 *
 * Shapes:     gradient [total], untouched; own [count of the cut].
 * Collective: over the replicas; all pass the same total.
 * Work space: one block at a time, whatever the total.
 */
rn_status rn_reduce_scatter(rn_err *err, const rn_grid *grid, const float *gradient, int64_t total,
                            float *own);

/** values [total]: each replica brings its cut in place, afterwards all have all. */
rn_status rn_all_gather(rn_err *err, const rn_grid *grid, float *values, int64_t total);

/**
 * Sums doubles over all ranks of the grid, replicas and stages, in world order: the same bits on
 * every rank. count <= 8.
 */
rn_status rn_sum_doubles(rn_err *err, const rn_grid *grid, double *values, int count);

#endif
