#include "comm/scan/wraparound_send.h"

#include <string.h>

#include "comm/world/mpi_check.h"

/* Maximum elements per message. */
enum { MAX_MESSAGE = 1 << 24 };

rn_status rn_wraparound_send(rn_err *err, const rn_grid *grid, int64_t count, const float *last,
                             float *first) {
  const int rank = rn_grid_sequence(grid), size = rn_grid_sequence_size(grid);
  const MPI_Comm comm = rn_grid_sequence_comm(grid);
  if (size == 1) {
    memcpy(first, last, (size_t)count * sizeof *first);
    return RN_OK;
  }
  for (int64_t offset = 0; offset < count; offset += MAX_MESSAGE) {
    const int elements = (int)(count - offset < MAX_MESSAGE ? count - offset : MAX_MESSAGE);
    if (rank == size - 1)
      RN_MPI_WAIT(err, MPI_Send(last + offset, elements, MPI_FLOAT, 0, 0, comm));
    if (rank == 0) {
      RN_MPI_WAIT(
          err, MPI_Recv(first + offset, elements, MPI_FLOAT, size - 1, 0, comm, MPI_STATUS_IGNORE));
    }
  }
  return RN_OK;
}
