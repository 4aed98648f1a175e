/** Detects the cores that this rank may use and the ranks that share them, and derives the thread
 * count. */
#ifndef RN_COMM_WORLD_CORES_H
#define RN_COMM_WORLD_CORES_H

#include <stdbool.h>

#include "comm/world/world.h"
#include "proto/base/affinity.h"

/** Cores are physical cores if the kernel reports the topology, else hardware threads. A core is in
 * a mask if at least one of its hardware threads is. */
typedef struct rn_cores {
  int cores;            /* cores in this process's affinity mask, as set by the launcher */
  int hardware_threads; /* hardware threads in that mask; 0 means the same number as `cores` */
  int sharing;          /* ranks of the node whose masks overlap this rank's, including this rank */
  int ranks;            /* ranks on the node */
  int used;             /* cores of the node that are in the mask of at least one rank */
  int offered;          /* cores in mpirun's own mask; 0 if mpirun did not start this process */
  rn_mask own; /* the cores that this rank uses: the whole mask or, if other ranks have the same
                  mask, an equal share of its cores; empty if more ranks have this mask than it has
                  cores, or if masks overlap without being equal */
} rn_cores;

/**
 * Reads the affinity masks of the ranks of this node, and the topology of its cores.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_LIBRARY, agreed, if the mask cannot be read; RN_ERR_MEMORY, agreed;
 * RN_ERR_MPI.
 */
rn_status rn_cores_detect(rn_err *err, rn_world *world, rn_cores *out);

/** Counts the cores and hardware threads of this process's mask, for a process without MPI. Returns
 * false if the mask cannot be read. Not collective. Errors: none. */
bool rn_cores_of_process(rn_cores *out);

/** Returns the number of available hardware threads per core; at least 1. Not collective. Errors:
 * none. */
int rn_cores_hyperthreads(rn_cores cores);

/**
 * Returns the thread count: `requested` (parallel.threads) if it is > 0, else OMP_NUM_THREADS if
 * set (omp_threads.h), else max(1, cores / sharing): one thread per physical core. Not collective.
 * Errors: none.
 */
int rn_cores_threads(rn_cores cores, int requested);

/** True if parallel.threads (`requested`) or OMP_NUM_THREADS gives the thread count. Not
 * collective. Errors: none. */
bool rn_cores_threads_given(int requested);

/** True if the cores suffice for all `threads` threads of each of the ranks that share them. Not
 * collective. Errors: none. */
bool rn_cores_suffice(rn_cores cores, int threads);

/**
 * True if the cores suffice for all `threads` threads of each of the ranks that share them, and for
 * one more thread per rank. Not collective. Errors: none.
 */
bool rn_cores_left_over(rn_cores cores, int threads);

#endif
