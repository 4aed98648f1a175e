#include "comm/scan/wraparound_send.h"

#include <string.h>

#include "comm/world/mpi_check.h"

/* Elements of one message at most. */
enum { PIECE = 1 << 24 };

rn_status rn_wraparound_send(rn_err *err, const rn_grid *grid, int64_t count, const float *last,
                             float *first) {
  const int rank = rn_grid_sequence(grid), size = rn_grid_sequence_size(grid);
  const MPI_Comm comm = rn_grid_sequence_comm(grid);
  if (size == 1) {
    memcpy(first, last, (size_t)count * sizeof *first);
    return RN_OK;
  }
  for (int64_t at = 0; at < count; at += PIECE) {
    const int piece = (int)(count - at < PIECE ? count - at : PIECE);
    if (rank == size - 1) RN_MPI_WAIT(err, MPI_Send(last + at, piece, MPI_FLOAT, 0, 0, comm));
    if (rank == 0) {
      RN_MPI_WAIT(err,
                  MPI_Recv(first + at, piece, MPI_FLOAT, size - 1, 0, comm, MPI_STATUS_IGNORE));
    }
  }
  return RN_OK;
}
