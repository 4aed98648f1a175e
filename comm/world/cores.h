/** The cores that this rank may use, the ranks that share them, and the resulting thread count. */
#ifndef RN_COMM_WORLD_CORES_H
#define RN_COMM_WORLD_CORES_H

#include <stdbool.h>

#include "comm/world/world.h"

typedef struct rn_cores {
  int cores;   /* cores in this process's affinity mask, as set by the launcher */
  int sharing; /* ranks of the node whose masks overlap this rank's, including this rank */
  int ranks;   /* ranks on the node */
  int used;    /* cores of the node that are in the mask of at least one rank */
  int offered; /* cores in mpirun's own mask; 0 if mpirun did not start this process */
} rn_cores;

/**
 * Reads the affinity masks of the ranks of this node.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_LIBRARY, agreed, if the mask cannot be read; RN_ERR_MEMORY, agreed;
 * RN_ERR_MPI.
 */
rn_status rn_cores_detect(rn_err *err, rn_world *world, rn_cores *out);

/**
 * Returns the thread count: `requested` (parallel.threads) if it is > 0, else OMP_NUM_THREADS if
 * set, else max(1, cores / sharing). Not collective. Errors: none.
 */
int rn_cores_threads(rn_cores cores, int requested);

/** True if parallel.threads (`requested`) or OMP_NUM_THREADS gives the thread count. Not
 * collective. Errors: none. */
bool rn_cores_threads_given(int requested);

/**
 * True if every rank that shares these cores has at least one core more than its `threads` threads.
 * Not collective. Errors: none.
 */
bool rn_cores_left_over(rn_cores cores, int threads);

#endif
