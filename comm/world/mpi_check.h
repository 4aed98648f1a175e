/** MPI calls as statuses: RN_MPI(err, MPI_Send(...)) returns with the call's text and MPI's words.
 */
#ifndef RN_COMM_WORLD_MPI_CHECK_H
#define RN_COMM_WORLD_MPI_CHECK_H

#include <mpi.h>
#include <stddef.h>

#include "proto/base/progress.h"
#include "proto/base/status.h"

/** RN_OK, or RN_ERR_MPI with MPI's error text; MPI_ERRORS_RETURN is set at start. */
rn_status rn_mpi_status(rn_err *err, int code, const char *call, const char *file, int line);

/** Leaves such a wait; gives the status back. */
static inline rn_status rn_mpi_waited(rn_status status) {
  rn_progress_wait(false);
  return status;
}

/** "MPI: ..." with the library's own first line, for --version; needs no started MPI. */
void rn_mpi_version_line(char *line, size_t bytes);

#define RN_MPI_STATUS(err, call) rn_mpi_status((err), (call), #call, __FILE__, __LINE__)
#define RN_MPI(err, call) RN_TRY(err, RN_MPI_STATUS(err, call))

/* The same for a call that returns when other ranks have come to it: the watchdog knows. */
#define RN_MPI_WAIT_STATUS(err, call) \
  (rn_progress_wait(true), rn_mpi_waited(RN_MPI_STATUS(err, call)))
#define RN_MPI_WAIT(err, call) RN_TRY(err, RN_MPI_WAIT_STATUS(err, call))

#endif
