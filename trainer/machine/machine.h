/** The machine of a plan: cores and memory of its nodes, and the ranks on each of them. */
#ifndef RN_TRAINER_MACHINE_MACHINE_H
#define RN_TRAINER_MACHINE_MACHINE_H

#include "comm/world/world.h"
#include "proto/schema/config.pb-c.h"

typedef struct rn_machine {
  int cores;            /* of a node, usable by all its ranks together */
  int ranks;            /* per node */
  int threads;          /* per rank */
  int64_t memory_bytes; /* of a node; 0: unknown */
  int64_t shared_bytes; /* shared memory available to the ranks of a node */
  size_t program_bytes; /* resident memory of a process now, before a run is created */
} rn_machine;

/**
 * Describes the nodes of this launch; for `ranks` > 0, hypothetical nodes like this one with
 * SLURM_NTASKS_PER_NODE ranks each, or if that is not set, as many ranks as have cores for their
 * threads. Memory is that of the smallest node, reduced to cgroup and SLURM limits. Memory sizes
 * are the same on every rank. Also decides the binding of threads (binding.h) and, for `ranks` = 0,
 * warns about too few cores.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_LIBRARY if the affinity mask is unavailable; RN_ERR_USAGE for too many
 *             threads; agreed.
 */
rn_status rn_machine_query(rn_err *err, rn_world *world, const Retnet__Config *config, int ranks,
                           rn_machine *out);

/** Current and peak resident memory of this process, in bytes. */
int64_t rn_machine_resident_bytes(void);
int64_t rn_machine_peak_bytes(void);

/** Current resident shared memory (RssShmem) of this process, in bytes. */
int64_t rn_machine_shared_bytes(void);

#endif
