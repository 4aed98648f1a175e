/**
 * Detects from environment variables the launcher (mpirun, srun) that started this process. For
 * code that runs before MPI is initialized, and for programs that do not use MPI.
 */
#ifndef RN_PROTO_CLI_LAUNCHED_H
#define RN_PROTO_CLI_LAUNCHED_H

#include <stdbool.h>

typedef struct rn_launched {
  const char *variable; /* the environment variable that gives the number of ranks; NULL without a
                           launcher */
  int ranks, rank;      /* number of ranks and this rank; 1 and 0 without a launcher */
} rn_launched;

/**
 * Reads the variables of Open MPI, PMI and SLURM, in this order, and uses the first that gives more
 * than one rank. Ignores the variables of PMI and SLURM for a command typed in a shell that was
 * started with `srun --pty`.
 */
rn_launched rn_launched_detect(void);

/** True on rank 0, which alone prints texts that are the same on all ranks. */
bool rn_launched_prints(void);

/**
 * True if this rank should print an error although rank 0 has probably printed the same error. Rank
 * 0 returns true immediately. The other ranks first wait for some seconds, because the launcher
 * usually ends them after rank 0 has exited. srun may not end them; under srun, one rank per node
 * returns true.
 */
bool rn_launched_prints_late(void);

#endif
