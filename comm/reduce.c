#include "comm/reduce.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "comm/mpi_check.h"
#include "proto/arena.h"
#include "proto/cut.h"

enum { BLOCK = 1 << 16, MAX_DOUBLES = 8 };

static int64_t least(int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* Block number `block` of a replica's cut: empty past its end. */
static rn_range block_of(int64_t total, int size, int rank, int64_t block) {
  rn_range cut = rn_cut(total, size, rank);
  int64_t begin = least(cut.begin + block * BLOCK, cut.end);
  return (rn_range){begin, least(begin + BLOCK, cut.end)};
}

/* Exchanges block `block` of every cut, and adds what came in rank order. */
static rn_status exchange_block(rn_err *err, MPI_Comm comm, int rank, int size,
                                const float *gradient, int64_t total, int64_t block,
                                float *received, MPI_Request *request, float *own) {
  const rn_range mine = block_of(total, size, rank, block);
  const int64_t count = rn_range_count(mine);
  int pending = 0;
  for (int r = 0; r < size; r++) {
    if (r == rank) continue;
    const rn_range theirs = block_of(total, size, r, block);
    RN_MPI(err, MPI_Irecv(received + (int64_t)r * BLOCK, (int)count, MPI_FLOAT, r, 0, comm,
                          &request[pending++]));
    RN_MPI(err, MPI_Isend(gradient + theirs.begin, (int)rn_range_count(theirs), MPI_FLOAT, r, 0,
                          comm, &request[pending++]));
  }
  RN_MPI(err, MPI_Waitall(pending, request, MPI_STATUSES_IGNORE));
  const int64_t at = mine.begin - rn_cut(total, size, rank).begin;
  for (int r = 0; r < size; r++) {
    const float *part = r == rank ? gradient + mine.begin : received + (int64_t)r * BLOCK;
    for (int64_t i = 0; i < count; i++) own[at + i] = r == 0 ? part[i] : own[at + i] + part[i];
  }
  return RN_OK;
}

rn_status rn_reduce_scatter(rn_err *err, const rn_grid *grid, const float *gradient, int64_t total,
                            float *own) {
  const int rank = rn_grid_replica(grid), size = rn_grid_replica_size(grid);
  if (size == 1) {
    memcpy(own, gradient, (size_t)total * sizeof *own);
    return RN_OK;
  }
  const int64_t longest = rn_range_count(rn_cut(total, size, 0));
  float *received = malloc((size_t)size * BLOCK * sizeof *received);
  MPI_Request *request = malloc(2 * (size_t)size * sizeof *request);
  rn_status status = RN_OK;
  if (received == NULL || request == NULL) {
    status = rn_fail(err, RN_ERR_MEMORY, "no memory to sum gradients over %d ranks", size);
  }
  for (int64_t block = 0; status == RN_OK && block * BLOCK < longest; block++) {
    status = exchange_block(err, rn_grid_replica_comm(grid), rank, size, gradient, total, block,
                            received, request, own);
  }
  free(received);
  free(request);
  return status;
}

rn_status rn_all_gather(rn_err *err, const rn_grid *grid, float *values, int64_t total) {
  const int size = rn_grid_replica_size(grid);
  if (size == 1) return RN_OK;
  const int64_t longest = rn_range_count(rn_cut(total, size, 0));
  MPI_Request *request = malloc((size_t)size * sizeof *request);
  if (request == NULL) return rn_fail(err, RN_ERR_MEMORY, "no memory to gather weights");
  rn_status status = RN_OK;
  for (int64_t block = 0; status == RN_OK && block * BLOCK < longest; block++) {
    for (int r = 0; status == RN_OK && r < size; r++) {
      const rn_range piece = block_of(total, size, r, block);
      status =
          RN_MPI_STATUS(err, MPI_Ibcast(values + piece.begin, (int)rn_range_count(piece), MPI_FLOAT,
                                        r, rn_grid_replica_comm(grid), &request[r]));
    }
    if (status == RN_OK) {
      status = RN_MPI_STATUS(err, MPI_Waitall(size, request, MPI_STATUSES_IGNORE));
    }
  }
  free(request);
  return status;
}

rn_status rn_sum_doubles(rn_err *err, const rn_grid *grid, double *values, int count) {
  const MPI_Comm comm = rn_grid_world_comm(grid);
  int size = 0;
  RN_MPI(err, MPI_Comm_size(comm, &size));
  assert(count <= MAX_DOUBLES);
  double *all = malloc((size_t)size * (size_t)count * sizeof *all);
  if (all == NULL) return rn_fail(err, RN_ERR_MEMORY, "no memory to sum over %d ranks", size);
  rn_status status =
      RN_MPI_STATUS(err, MPI_Allgather(values, count, MPI_DOUBLE, all, count, MPI_DOUBLE, comm));
  for (int i = 0; status == RN_OK && i < count; i++) {
    values[i] = 0;
    for (int r = 0; r < size; r++) values[i] += all[r * count + i];
  }
  free(all);
  return status;
}
