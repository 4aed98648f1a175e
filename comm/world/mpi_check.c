#include "comm/world/mpi_check.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* True if a call of MPI has failed in this process. */
static atomic_bool failed;

rn_status rn_mpi_status(rn_err *err, int code, const char *call, const char *file, int line) {
  if (code == MPI_SUCCESS) return RN_OK;
  atomic_store(&failed, true);
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0, rank = -1, started = 0;
  MPI_Initialized(&started);
  if (!started) return rn_fail(err, RN_ERR_MPI, "%s:%d: %s: error %d", file, line, call, code);
  MPI_Error_string(code, text, &length);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rn_fail(err, RN_ERR_MPI, "%s:%d: rank %d: %s: %s", file, line, rank, call, text);
}

void rn_mpi_progress(MPI_Comm comm) {
  enum { UNUSED_TAG = 32767 }; /* the largest tag that every MPI library supports */
  int found;
  MPI_Iprobe(MPI_ANY_SOURCE, UNUSED_TAG, comm, &found, MPI_STATUS_IGNORE);
}

void rn_mpi_free_comm(MPI_Comm *comm) {
  if (*comm == MPI_COMM_NULL || atomic_load(&failed)) return;
  rn_progress_wait(true);
  MPI_Comm_free(comm);
  rn_progress_wait(false);
}

void rn_mpi_free_window(MPI_Win *window) {
  if (*window == MPI_WIN_NULL || atomic_load(&failed)) return;
  rn_progress_wait(true);
  MPI_Win_free(window);
  rn_progress_wait(false);
}
