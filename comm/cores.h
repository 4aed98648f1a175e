/** The cores that this rank may use, the ranks that share them, and how many threads follow. */
#ifndef RN_COMM_CORES_H
#define RN_COMM_CORES_H

#include "comm/world.h"

typedef struct rn_cores {
  int cores;   /* in this process's affinity mask, as the launcher bound it */
  int sharing; /* ranks of the node whose masks meet this one, itself included */
} rn_cores;

/** Collective: over the world. Errors: RN_ERR_LIBRARY when the system does not show the mask. */
rn_status rn_cores_look(rn_err *err, rn_world *world, rn_cores *out);

/** parallel.threads: `asked` if not 0, else OMP_NUM_THREADS, else cores / sharing; at least 1. */
int rn_cores_threads(rn_cores cores, int asked);

#endif
