/** The machine that a plan is made for: cores and memory of its nodes, and how ranks fill them. */
#ifndef RN_TRAINER_MACHINE_MACHINE_H
#define RN_TRAINER_MACHINE_MACHINE_H

#include "comm/world/world.h"
#include "proto/schema/config.pb-c.h"

typedef struct rn_machine {
  int cores;            /* of a node, that its ranks may use together */
  int ranks;            /* of a node */
  int threads;          /* of a rank */
  int64_t memory_bytes; /* of a node; 0: unknown */
  int64_t shared_bytes; /* that ranks of a node can share */
  size_t program_bytes; /* of a process now, before a run is made */
} rn_machine;

/**
 * The nodes of this launch, or for `ranks` > 0 those that so many ranks would fill: nodes like this
 * one, SLURM_NTASKS_PER_NODE ranks on each, else as many as have cores for their threads. Memory is
 * the smallest node's, a limit of the batch system counted. The same on every rank.
 *
 * Collective: over the world. Errors: RN_ERR_LIBRARY when the system does not tell.
 */
rn_status rn_machine_query(rn_err *err, rn_world *world, const Retnet__Config *config, int ranks,
                           rn_machine *out);

/** Memory that this process holds now, and that it held at most, in bytes. */
int64_t rn_machine_resident_bytes(void);
int64_t rn_machine_peak_bytes(void);

/** What of the memory that this process holds now is shared with others, in bytes. */
int64_t rn_machine_shared_bytes(void);

#endif
