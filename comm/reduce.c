#include "comm/reduce.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "comm/mpi_check.h"
#include "proto/arena.h"
#include "proto/cut.h"

/* Elements of a share that are exchanged at a time; the largest element has 8 bytes. */
enum { BLOCK = 1 << 16, LARGEST = 8, JOIN_BLOCK = 1 << 20 };

struct rn_reducer {
  MPI_Comm comm;
  int rank, size;
  int64_t *edge;        /* [size + 1] */
  int64_t longest;      /* share */
  char *received;       /* [size, BLOCK] elements */
  MPI_Request *request; /* [2 size] */
};

/* Of a block that no message fills, the rest is never touched. */
size_t rn_reducer_bytes(int replicas, int64_t longest, size_t bytes_each) {
  const int64_t filled = longest < BLOCK ? longest : BLOCK;
  return replicas > 1 ? (size_t)replicas * (size_t)filled * bytes_each : 0;
}

rn_status rn_reducer_create(rn_err *err, const rn_grid *grid, const int64_t *edge,
                            rn_reducer **out) {
  rn_reducer *r;
  *out = NULL;
  RN_TRY(err, rn_alloc(err, "sums over ranks", 1, sizeof *r, &r));
  r->comm = rn_grid_replica_comm(grid);
  r->rank = rn_grid_replica(grid);
  r->size = rn_grid_replica_size(grid);
  const size_t size = (size_t)r->size;
  rn_status status;
  if ((status = rn_alloc(err, "shares of ranks", size + 1, sizeof *edge, &r->edge)) != RN_OK ||
      (status = rn_alloc(err, "sums over ranks", size > 1 ? size * BLOCK : 1, LARGEST,
                         &r->received)) != RN_OK ||
      (status = rn_alloc(err, "sums over ranks", 2 * size, sizeof *r->request, &r->request)) !=
          RN_OK) {
    rn_reducer_destroy(&r);
    return status;
  }
  memcpy(r->edge, edge, (size + 1) * sizeof *edge);
  for (int i = 0; i < r->size; i++) {
    assert(edge[i] <= edge[i + 1]);
    if (edge[i + 1] - edge[i] > r->longest) r->longest = edge[i + 1] - edge[i];
  }
  *out = r;
  return RN_OK;
}

void rn_reducer_destroy(rn_reducer **reducer) {
  if (*reducer == NULL) return;
  free((*reducer)->edge);
  free((*reducer)->received);
  free((*reducer)->request);
  free(*reducer);
  *reducer = NULL;
}

/* Block number `block` of a share: empty past its end. */
static rn_range block_of(const rn_reducer *r, int rank, int64_t block) {
  const int64_t end = r->edge[rank + 1], begin = r->edge[rank] + block * BLOCK;
  if (begin >= end) return (rn_range){end, end};
  return (rn_range){begin, begin + BLOCK < end ? begin + BLOCK : end};
}

/* Exchanges block `block` of every share; what came from rank i is at received[i BLOCK]. */
static rn_status exchange_block(rn_err *err, rn_reducer *r, const char *gradient, MPI_Datatype type,
                                size_t bytes_each, int64_t block) {
  const int count = (int)rn_range_count(block_of(r, r->rank, block));
  int pending = 0;
  for (int i = 0; i < r->size; i++) {
    if (i == r->rank) continue;
    const rn_range theirs = block_of(r, i, block);
    RN_MPI(err, MPI_Irecv(r->received + (size_t)i * BLOCK * bytes_each, count, type, i, 0, r->comm,
                          &r->request[pending++]));
    RN_MPI(err, MPI_Isend(gradient + (size_t)theirs.begin * bytes_each, (int)rn_range_count(theirs),
                          type, i, 0, r->comm, &r->request[pending++]));
  }
  RN_MPI(err, MPI_Waitall(pending, r->request, MPI_STATUSES_IGNORE));
  return RN_OK;
}

rn_status rn_reduce_scatter(rn_err *err, rn_reducer *r, const float *gradient, float *own) {
  assert(r->size == 1 || own != gradient);
  if (own == gradient) return RN_OK;
  for (int64_t block = 0; block * BLOCK < r->longest; block++) {
    const rn_range mine = block_of(r, r->rank, block);
    float *sum = own + block * BLOCK;
    RN_TRY(err, exchange_block(err, r, (const char *)gradient, MPI_FLOAT, sizeof *own, block));
    for (int i = 0; i < r->size; i++) {
      const float *part =
          i == r->rank ? gradient + mine.begin : (const float *)r->received + (int64_t)i * BLOCK;
      for (int64_t j = 0; j < rn_range_count(mine); j++) {
        sum[j] = i == 0 ? part[j] : sum[j] + part[j];
      }
    }
  }
  return RN_OK;
}

rn_status rn_reduce_scatter_exact(rn_err *err, rn_reducer *r, const int64_t *gradient,
                                  int64_t *own) {
  for (int64_t block = 0; block * BLOCK < r->longest; block++) {
    const rn_range mine = block_of(r, r->rank, block);
    int64_t *sum = own + block * BLOCK;
    RN_TRY(err, exchange_block(err, r, (const char *)gradient, MPI_INT64_T, sizeof *own, block));
    for (int i = 0; i < r->size; i++) {
      const int64_t *part =
          i == r->rank ? gradient + mine.begin : (const int64_t *)r->received + (int64_t)i * BLOCK;
      for (int64_t j = 0; j < rn_range_count(mine); j++) {
        sum[j] = i == 0 ? part[j] : sum[j] + part[j];
      }
    }
  }
  return RN_OK;
}

rn_status rn_sum_doubles(rn_err *err, const rn_grid *grid, double *values, int count) {
  const MPI_Comm comm = rn_grid_world_comm(grid);
  double *all = rn_grid_room(grid);
  int size = 0;
  assert(count <= RN_GRID_ROOM);
  RN_MPI(err, MPI_Comm_size(comm, &size));
  RN_MPI(err, MPI_Allgather(values, count, MPI_DOUBLE, all, count, MPI_DOUBLE, comm));
  for (int i = 0; i < count; i++) {
    values[i] = 0;
    for (int r = 0; r < size; r++) values[i] += all[r * count + i];
  }
  return RN_OK;
}

rn_status rn_join_doubles(rn_err *err, const rn_grid *grid, double *values, int64_t count) {
  static_assert(sizeof(double) == sizeof(uint64_t), "bits of a double");
  for (int64_t at = 0; at < count; at += JOIN_BLOCK) {
    const int block = (int)(count - at < JOIN_BLOCK ? count - at : JOIN_BLOCK);
    RN_MPI(err, MPI_Allreduce(MPI_IN_PLACE, values + at, block, MPI_UINT64_T, MPI_BOR,
                              rn_grid_world_comm(grid)));
  }
  return RN_OK;
}
