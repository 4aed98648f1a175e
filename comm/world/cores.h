/** The cores that this rank may use, the ranks that share them, and how many threads follow. */
#ifndef RN_COMM_WORLD_CORES_H
#define RN_COMM_WORLD_CORES_H

#include <stdbool.h>

#include "comm/world/world.h"

typedef struct rn_cores {
  int cores;   /* in this process's affinity mask, as the launcher bound it */
  int sharing; /* ranks of the node whose masks meet this one, itself included */
  int ranks;   /* of the node */
  int used;    /* cores of the node that are in the mask of some rank */
  int offered; /* cores that mpirun may use here; 0 where it did not start this process */
} rn_cores;

/** Collective: over the world. Errors: RN_ERR_LIBRARY when the system does not show the mask. */
rn_status rn_cores_look(rn_err *err, rn_world *world, rn_cores *out);

/** parallel.threads: `asked` if not 0, else OMP_NUM_THREADS, else cores / sharing; at least 1. */
int rn_cores_threads(rn_cores cores, int asked);

/** Whether each rank that shares these cores has one for a thread beside its `threads`. */
bool rn_cores_left_over(rn_cores cores, int threads);

/**
 * Whether that may be so, as far as a rank can tell before MPI is started: more cores in its mask
 * than threads are asked for, by the key or by OMP_NUM_THREADS, and, by mpirun's own mask, for all
 * its ranks on this node.
 */
bool rn_cores_may_be_left_over(int asked);

#endif
