/**
 * What the environment says of the launcher (mpirun, srun) that started this process: for what is
 * done before MPI starts, and for programs that do not use MPI.
 */
#ifndef RN_PROTO_CLI_LAUNCHED_H
#define RN_PROTO_CLI_LAUNCHED_H

#include <stdbool.h>

typedef struct rn_launched {
  const char *variable; /* the environment variable that says so; NULL without a launcher */
  int ranks, rank;      /* 1, 0 without a launcher */
} rn_launched;

/**
 * Reads the variables of Open MPI, PMI and SLURM; the first that says more than one rank counts.
 * Those of PMI and SLURM do not count for a command typed in a shell that was started with
 * `srun --pty`.
 */
rn_launched rn_launched_detect(void);

/** True on the rank that prints what all ranks would print: rank 0. */
bool rn_launched_prints(void);

/**
 * Returns true if this rank should print an error that rank 0 has probably printed too. Rank 0
 * returns true at once. Others pause for a few seconds first: if rank 0 has the same error, the
 * launcher ends them meanwhile. srun may let them live; there, one rank of each node returns true.
 */
bool rn_launched_prints_late(void);

#endif
