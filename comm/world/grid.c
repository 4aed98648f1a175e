#include "comm/world/grid.h"

#include <stdlib.h>

#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"

struct rn_grid {
  int data, pipeline, sequence; /* coordinates */
  int pipeline_size, sequence_size, replica, replica_size;
  MPI_Comm world_comm, pipeline_comm, sequence_comm, replica_comm;
  const rn_world *world;
  double *scratch; /* [ranks, RN_GRID_SCRATCH] */
};

static rn_status allocate(rn_err *err, int ranks, rn_grid **out) {
  RN_TRY(err, rn_alloc(err, "grid", 1, sizeof **out, out));
  **out = (rn_grid){.pipeline_comm = MPI_COMM_NULL,
                    .sequence_comm = MPI_COMM_NULL,
                    .replica_comm = MPI_COMM_NULL};
  return rn_alloc(err, "reduction buffers", (size_t)ranks * RN_GRID_SCRATCH,
                  sizeof *(*out)->scratch, &(*out)->scratch);
}

static rn_status split(rn_err *err, MPI_Comm world, int color, int rank, MPI_Comm *out) {
  RN_MPI_WAIT(err, MPI_Comm_split(world, color, rank, out));
  RN_MPI(err, MPI_Comm_set_errhandler(*out, MPI_ERRORS_RETURN));
  return RN_OK;
}

rn_status rn_grid_create(rn_err *err, rn_world *world, int data, int pipeline, int sequence,
                         rn_grid **out) {
  const int rank = rn_world_rank(world), size = rn_world_size(world);
  if (data < 1 || pipeline < 1 || sequence < 1 || (int64_t)data * pipeline * sequence != size) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "the grid has data x pipeline x sequence = %d x %d x %d ranks, but this job has %d", data,
        pipeline, sequence, size);
  }
  rn_grid *grid = NULL;
  rn_status status = rn_agree(err, world, allocate(err, size, &grid));
  if (status != RN_OK) {
    rn_grid_destroy(&grid);
    return status;
  }
  grid->data = rank / sequence / pipeline;
  grid->pipeline = rank / sequence % pipeline;
  grid->sequence = rank % sequence;
  grid->pipeline_size = pipeline;
  grid->sequence_size = sequence;
  grid->replica = grid->data * sequence + grid->sequence;
  grid->replica_size = data * sequence;
  grid->world = world;
  grid->world_comm = rn_world_comm(world);
  if ((status = split(err, rn_world_comm(world), rank / sequence, rank, &grid->sequence_comm)) !=
          RN_OK ||
      (status = split(err, rn_world_comm(world), grid->pipeline, rank, &grid->replica_comm)) !=
          RN_OK ||
      (status = split(err, rn_world_comm(world), grid->replica, rank, &grid->pipeline_comm)) !=
          RN_OK) {
    rn_grid_destroy(&grid);
    return status;
  }
  *out = grid;
  return RN_OK;
}

void rn_grid_destroy(rn_grid **grid) {
  if (*grid == NULL) return;
  rn_mpi_free_comm(&(*grid)->sequence_comm);
  rn_mpi_free_comm(&(*grid)->replica_comm);
  rn_mpi_free_comm(&(*grid)->pipeline_comm);
  free((*grid)->scratch);
  free(*grid);
  *grid = NULL;
}

int rn_grid_data(const rn_grid *grid) {
  return grid->data;
}

int rn_grid_pipeline(const rn_grid *grid) {
  return grid->pipeline;
}

int rn_grid_pipeline_size(const rn_grid *grid) {
  return grid->pipeline_size;
}

int rn_grid_sequence(const rn_grid *grid) {
  return grid->sequence;
}

int rn_grid_sequence_size(const rn_grid *grid) {
  return grid->sequence_size;
}

int rn_grid_replica(const rn_grid *grid) {
  return grid->replica;
}

int rn_grid_replica_size(const rn_grid *grid) {
  return grid->replica_size;
}

rn_status rn_grid_agree(rn_err *err, const rn_grid *grid, rn_status status) {
  return rn_agree(err, grid->world, status);
}

const rn_world *rn_grid_world(const rn_grid *grid) {
  return grid->world;
}

MPI_Comm rn_grid_world_comm(const rn_grid *grid) {
  return grid->world_comm;
}

MPI_Comm rn_grid_pipeline_comm(const rn_grid *grid) {
  return grid->pipeline_comm;
}

MPI_Comm rn_grid_sequence_comm(const rn_grid *grid) {
  return grid->sequence_comm;
}

MPI_Comm rn_grid_replica_comm(const rn_grid *grid) {
  return grid->replica_comm;
}

double *rn_grid_scratch(const rn_grid *grid) {
  return grid->scratch;
}
