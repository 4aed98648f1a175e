/** Finds the ranks that run on the same host and can share memory, without relying on what the
 * launcher says. */
#ifndef RN_COMM_WORLD_REAL_HOST_H
#define RN_COMM_WORLD_REAL_HOST_H

#include <mpi.h>

#include "proto/base/status.h"

/**
 * Splits `comm` into one communicator per host, in which the ranks keep their order.
 *
 * Two ranks are on one host if MPI says so and if they have the same host name, the same boot id of
 * the kernel, and the same file system mounted at /dev/shm. MPI alone does not suffice: it repeats
 * what the launcher says, and a launcher may count several hosts or containers as one node. Ranks
 * that cannot really share memory would crash when they use memory of MPI_Win_allocate_shared.
 *
 * Collective: over `comm`. Ownership: the caller frees *out.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_real_host_split(rn_err *err, MPI_Comm comm, MPI_Comm *out);

#endif
