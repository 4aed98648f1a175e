/** Describes the nodes for which a run is planned: cores and memory of each node, and the number of
 * ranks per node. */
#ifndef RN_TRAINER_MACHINE_MACHINE_H
#define RN_TRAINER_MACHINE_MACHINE_H

#include <stdbool.h>

#include "comm/world/world.h"
#include "proto/schema/config.pb-c.h"

enum { RN_MACHINE_REASON_BYTES = 160 };

typedef struct rn_machine {
  int cores;          /* cores per node that all ranks of the node together can use */
  int ranks;          /* ranks per node */
  int threads;        /* threads of this rank */
  int max_threads;    /* largest number of threads of any rank, for which memory is planned; 0: that
                         of this process */
  bool threads_given; /* true if parallel.threads or OMP_NUM_THREADS sets `threads` */
  char threads_reason[RN_MACHINE_REASON_BYTES]; /* why a rule chose `threads`; "" if it is given */
  int64_t memory_bytes;                         /* memory per node; 0: unknown */
  int64_t shared_bytes; /* shared memory per node that is available to its ranks */
  size_t program_bytes; /* current resident memory of a process, before a run is created */
} rn_machine;

/**
 * Describes the nodes of this launch or, for `ranks` > 0, hypothetical nodes like this one. A
 * hypothetical node has SLURM_NTASKS_PER_NODE ranks or, if that variable is not set, as many ranks
 * as it has cores for all their threads. Memory sizes are those of the smallest node, reduced to
 * cgroup and SLURM limits. They and the number of ranks per node are the same on every rank. Also
 * decides the binding of threads (binding.h) and, for `ranks` = 0, warns about too few cores.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_LIBRARY if the affinity mask is unavailable; RN_ERR_USAGE for too many
 *             threads; agreed.
 */
rn_status rn_machine_query(rn_err *err, rn_world *world, const Retnet__Config *config, int ranks,
                           rn_machine *out);

/**
 * Sets machine->max_threads to the maximum of machine->threads over the ranks. Ranks may have
 * different numbers of threads, but must plan for the same one, since the layout depends on it.
 * Call it when machine->threads is final.
 *
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_machine_agree_threads(rn_err *err, rn_world *world, rn_machine *machine);

/** Returns the current resident memory of this process, in bytes. */
int64_t rn_machine_resident_bytes(void);

/** Returns the peak resident memory of this process, in bytes. */
int64_t rn_machine_peak_bytes(void);

/** Returns the current resident shared memory (RssShmem) of this process, in bytes. */
int64_t rn_machine_shared_bytes(void);

#endif
