/** Finds the ranks that run on the same host and can share memory, without relying on what the
 * launcher says. */
#ifndef RN_COMM_WORLD_REAL_HOST_H
#define RN_COMM_WORLD_REAL_HOST_H

#include <mpi.h>

#include "proto/base/status.h"

/**
 * Splits `comm` into one communicator per host, in which the ranks keep their order.
 *
 * Two ranks are on one host if MPI says so, and if host name, boot id of the kernel and the file
 * system mounted at /dev/shm are the same. MPI alone does not suffice: it repeats what the launcher
 * says, and a launcher may count several hosts or containers as one node. Memory that such ranks
 * share with MPI_Win_allocate_shared would crash them.
 *
 * Collective: over `comm`. Ownership: the caller frees *out.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_real_host_split(rn_err *err, MPI_Comm comm, MPI_Comm *out);

#endif
