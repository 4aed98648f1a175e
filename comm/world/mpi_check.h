/**
 * Converts MPI return codes to statuses. RN_MPI(err, MPI_Send(...)) makes the enclosing function
 * return on failure, and records the text of the call and of MPI's error.
 */
#ifndef RN_COMM_WORLD_MPI_CHECK_H
#define RN_COMM_WORLD_MPI_CHECK_H

#include <mpi.h>
#include <stddef.h>

#include "proto/base/progress.h"
#include "proto/base/status.h"

/**
 * Converts the return code of an MPI call to a status. All communicators have the error handler
 * MPI_ERRORS_RETURN.
 *
 * Collective: no.
 * Errors:     RN_ERR_MPI with the text of the call and of MPI's error.
 */
rn_status rn_mpi_status(rn_err *err, int code, const char *call, const char *file, int line);

/** Tells the watchdog that the wait begun by RN_MPI_WAIT_STATUS has ended; returns `status`. Not
 * collective. Errors: none. */
static inline rn_status rn_mpi_waited(rn_status status) {
  rn_progress_wait(false);
  return status;
}

/**
 * These functions free a communicator or a window and set the handle to its null value; a null
 * handle is accepted. During the call, the watchdog sees this rank as waiting. After a failure of
 * MPI, they free nothing: the other ranks do not make this call, so it would wait until the job is
 * aborted.
 *
 * Collective: over the communicator, or over the window.
 * Errors:     none: an MPI error is ignored, because the caller no longer uses the object.
 */
void rn_mpi_free_comm(MPI_Comm *comm);
void rn_mpi_free_window(MPI_Win *window);

/**
 * Lets MPI progress all messages of this process. Loops that wait without other MPI calls use it.
 * Probes `comm` for a tag that is never used, because a probe that finds a message may return
 * immediately, without progress.
 *
 * Collective: no.
 * Errors:     none; errors of messages are returned by the calls that complete the messages.
 */
void rn_mpi_progress(MPI_Comm comm);

#define RN_MPI_STATUS(err, call) rn_mpi_status((err), (call), #call, __FILE__, __LINE__)
#define RN_MPI(err, call) RN_TRY(err, RN_MPI_STATUS(err, call))

/* These macros are like RN_MPI_STATUS and RN_MPI, but for MPI calls that wait for other ranks:
 * during the call, the watchdog sees this rank as waiting. tests/lint/mpi_waits.cmake lists the MPI
 * calls that need this. */
#define RN_MPI_WAIT_STATUS(err, call) \
  (rn_progress_wait(true), rn_mpi_waited(RN_MPI_STATUS(err, call)))
#define RN_MPI_WAIT(err, call) RN_TRY(err, RN_MPI_WAIT_STATUS(err, call))

#endif
