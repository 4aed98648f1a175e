#include "comm/world/world.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "comm/world/mpi_check.h"
#include "comm/world/real_host.h"
#include "proto/base/arena.h"
#include "proto/base/fault.h"
#include "proto/cli/launched.h"
#include "proto/cli/program.h"

struct rn_world {
  MPI_Comm comm, node;
  int rank, size, node_ranks, level;
  char host[MPI_MAX_PROCESSOR_NAME];
};

/* Returns an error if the launcher does not match this MPI library. Such a launcher starts N jobs
 * of one rank each instead of one job of N ranks. */
static rn_status check_launch(rn_err *err, int size) {
  const rn_launched launched = rn_launched_detect();
  if (size > 1 || launched.ranks == 1) return RN_OK;
  return rn_fail(
      err, RN_ERR_USAGE,
      "wrong launch: %s says %d ranks, but MPI sees only one; start the program with the "
      "mpirun of the MPI library that it was built with, or with srun --mpi=pmix",
      launched.variable, launched.ranks);
}

/* Sets the members that are derived from world->comm. */
static rn_status query_comm(rn_err *err, rn_world *world) {
  int length = 0;
  RN_MPI(err, MPI_Comm_set_errhandler(world->comm, MPI_ERRORS_RETURN));
  RN_MPI(err, MPI_Comm_rank(world->comm, &world->rank));
  RN_MPI(err, MPI_Comm_size(world->comm, &world->size));
  RN_MPI(err, MPI_Get_processor_name(world->host, &length));
  RN_TRY(err, rn_real_host_split(err, world->comm, &world->node));
  RN_MPI(err, MPI_Comm_size(world->node, &world->node_ranks));
  return RN_OK;
}

static rn_status open_world(rn_err *err, rn_world *world) {
  RN_MPI(err, MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
  RN_MPI_WAIT(err, MPI_Comm_dup(MPI_COMM_WORLD, &world->comm));
  return query_comm(err, world);
}

void rn_world_close(rn_world **subset) {
  if (*subset == NULL) return;
  rn_mpi_free_comm(&(*subset)->node);
  rn_mpi_free_comm(&(*subset)->comm);
  free(*subset);
  *subset = NULL;
}

rn_status rn_world_split(rn_err *err, const rn_world *world, int color, rn_world **out) {
  rn_world *subset = NULL;
  rn_status status = rn_agree(err, world, rn_alloc(err, "world", 1, sizeof *subset, &subset));
  *out = NULL;
  if (status != RN_OK) {
    free(subset);
    return status;
  }
  subset->comm = subset->node = MPI_COMM_NULL;
  status = RN_MPI_WAIT_STATUS(err, MPI_Comm_split(world->comm, color < 0 ? MPI_UNDEFINED : color,
                                                  world->rank, &subset->comm));
  subset->level = world->level;
  if (status == RN_OK && color >= 0) status = query_comm(err, subset);
  if (status != RN_OK || color < 0) rn_world_close(&subset);
  *out = subset;
  return status;
}

/*
 * If all ranks are on one host, they communicate through shared memory, and this function disables
 * Open MPI's networks. Otherwise version 5 prints a line per rank if it cannot pair the host's TCP
 * interfaces, and MPI_Finalize sleeps for a second to close libfabric (ofi). A value of
 * OMPI_MCA_btl that the user has set is kept.
 */
static void disable_networks(void) {
  const char *ranks = getenv("OMPI_COMM_WORLD_SIZE"),
             *local_ranks = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  if (ranks != NULL && local_ranks != NULL && strcmp(ranks, local_ranks) == 0)
    setenv("OMPI_MCA_btl", "^tcp,ofi", 0);
}

/*
 * Version 5 of Open MPI leaves a file in /dev/shm for each process that runs without a launcher.
 * Such a process communicates with no other, so this function disables the component that creates
 * the file. A value of OMPI_MCA_btl that the user has set is kept.
 */
static void disable_shared_memory(void) {
#if defined OMPI_MAJOR_VERSION && OMPI_MAJOR_VERSION >= 5
  if (rn_launched_detect().variable == NULL && getenv("PMIX_RANK") == NULL) {
    setenv("OMPI_MCA_btl", "^sm", 0);
  }
#endif
}

static rn_status start_mpi(rn_err *err, int *argc, char ***argv, int level, rn_world **out) {
  int provided = 0;
  RN_TRY(err, rn_alloc(err, "world", 1, sizeof **out, out));
  (*out)->comm = (*out)->node = MPI_COMM_NULL;
  disable_networks();
  disable_shared_memory();
  RN_MPI(err, MPI_Init_thread(argc, argv, level, &provided));
  if (rn_fault_now("mpi.level")) provided = MPI_THREAD_FUNNELED;
  if (provided < MPI_THREAD_FUNNELED) {
    return rn_fail(err, RN_ERR_LIBRARY,
                   "this MPI does not support MPI_THREAD_FUNNELED (it provides level %d)",
                   provided);
  }
  (*out)->level = provided < level ? provided : level;
  return open_world(err, *out);
}

rn_status rn_world_open(rn_err *err, int *argc, char ***argv, rn_world **out) {
  return start_mpi(err, argc, argv, MPI_THREAD_FUNNELED, out);
}

rn_status rn_world_start(rn_err *err, int *argc, char ***argv, rn_world **out) {
  RN_TRY(err, rn_world_open(err, argc, argv, out));
  return check_launch(err, (*out)->size);
}

rn_status rn_world_start_serialized(rn_err *err, int *argc, char ***argv, rn_world **out) {
  RN_TRY(err, start_mpi(err, argc, argv, MPI_THREAD_SERIALIZED, out));
  return check_launch(err, (*out)->size);
}

static void print_failure(const rn_err *err) {
  fprintf(stderr, "error: %s\n", err->text);
  if (getenv("RETNET_TRACE") != NULL) fprintf(stderr, "%s", err->trace);
}

void rn_world_abort(const rn_err *err) {
  print_failure(err);
  MPI_Abort(MPI_COMM_WORLD, rn_status_exit_code(RN_ERR_MPI));
}

int rn_world_finish(rn_world **world, rn_status status, const rn_err *err) {
  int started = 0, rank = 0;
  MPI_Initialized(&started);
  if (started) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  rn_err agreed = *err;
  /* The other ranks have no output that could be lost. */
  if (rank == 0) status = rn_program_check_output(&agreed, status);
  const int code = rn_status_exit_code(status);
  if (status == RN_ERR_MPI) {
    if (started) {
      rn_world_abort(&agreed);
    } else {
      print_failure(&agreed);
    }
    rn_world_close(world);
    return code;
  }
  if (status != RN_OK && rank == 0) print_failure(&agreed);
  rn_world_close(world);
  if (started) MPI_Finalize();
  return code;
}

int rn_world_rank(const rn_world *world) {
  return world->rank;
}

int rn_world_size(const rn_world *world) {
  return world->size;
}

int rn_world_node_ranks(const rn_world *world) {
  return world->node_ranks;
}

const char *rn_world_host(const rn_world *world) {
  return world->host;
}

int rn_world_level(const rn_world *world) {
  return world->level;
}

const char *rn_world_level_name(const rn_world *world) {
  return world->level >= MPI_THREAD_SERIALIZED ? "MPI_THREAD_SERIALIZED" : "MPI_THREAD_FUNNELED";
}

MPI_Comm rn_world_comm(const rn_world *world) {
  return world->comm;
}

MPI_Comm rn_world_node_comm(const rn_world *world) {
  return world->node;
}

rn_status(rn_agree)(rn_err *err, const rn_world *world, rn_status status) {
  if (status == RN_ERR_MPI) return status;
  struct {
    int status, rank;
  } mine = {(int)status, world->rank}, worst;
  RN_MPI_WAIT(err, MPI_Allreduce(&mine, &worst, 1, MPI_2INT, MPI_MAXLOC, world->comm));
  if (worst.status == RN_OK) return RN_OK;
  rn_err agreed = *err;
  if (world->rank == worst.rank && world->size > 1 && !err->names_rank) {
    agreed.names_rank = true;
    snprintf(agreed.text, sizeof agreed.text, "rank %d on %s: %.1700s", world->rank, world->host,
             err->text);
  }
  RN_MPI_WAIT(err, MPI_Bcast(&agreed, (int)sizeof agreed, MPI_BYTE, worst.rank, world->comm));
  *err = agreed;
  err->status = (rn_status)worst.status;
  return (rn_status)worst.status;
}

rn_status rn_world_check_same(rn_err *err, rn_world *world, const char *what, const void *bytes,
                              size_t count) {
  uint64_t mine = XXH3_64bits(bytes, count), root_hash = mine;
  RN_MPI_WAIT(err, MPI_Bcast(&root_hash, 1, MPI_UINT64_T, 0, world->comm));
  rn_status status = RN_OK;
  if (mine != root_hash) {
    status = rn_fail(
        err, RN_ERR_MISMATCH,
        "%s differs from that of rank 0: start all ranks with the same program and files", what);
  }
  return rn_agree(err, world, status);
}

/* Buffers of a gather on rank 0: the counts and offsets of each rank's bytes, and the gathered
 * bytes. */
typedef struct gather_plan {
  int *counts, *offsets;
  size_t *sizes;
  char *all;
} gather_plan;

static rn_status plan_gather(rn_err *err, const int64_t *counts, int ranks, gather_plan *g) {
  int64_t total = 0;
  for (int r = 0; r < ranks; r++) total += counts[r];
  if (total > INT_MAX) {
    return rn_fail(err, RN_ERR_MEMORY,
                   "cannot gather %lld bytes from %d ranks at once; the limit is %d",
                   (long long)total, ranks, INT_MAX);
  }
  const size_t count = (size_t)ranks;
  RN_TRY(err, rn_alloc(err, "gather counts", count, sizeof *g->counts, &g->counts));
  RN_TRY(err, rn_alloc(err, "gather offsets", count, sizeof *g->offsets, &g->offsets));
  RN_TRY(err, rn_alloc(err, "gather sizes", count, sizeof *g->sizes, &g->sizes));
  RN_TRY(err, rn_alloc(err, "gather buffer", (size_t)total + 1, 1, &g->all));
  for (int r = 0, offset = 0; r < ranks; r++) {
    g->offsets[r] = offset;
    g->counts[r] = (int)counts[r];
    g->sizes[r] = (size_t)counts[r];
    offset += g->counts[r];
  }
  return RN_OK;
}

/* Gathers bytes on rank 0 of `comm`, which is a part of the world. Collective over the world. */
static rn_status gather(rn_err *err, rn_world *world, MPI_Comm comm, const void *mine, size_t count,
                        char **all, size_t **sizes) {
  gather_plan g = {0};
  int64_t *counts = NULL, own = (int64_t)count;
  int rank = 0, size = 0;
  *all = NULL;
  *sizes = NULL;
  RN_MPI(err, MPI_Comm_rank(comm, &rank));
  RN_MPI(err, MPI_Comm_size(comm, &size));
  rn_status status = rn_alloc(err, "gather counts", (size_t)size, sizeof own, &counts);
  if ((status = rn_agree(err, world, status)) != RN_OK) goto end;
  status =
      RN_MPI_WAIT_STATUS(err, MPI_Gather(&own, 1, MPI_INT64_T, counts, 1, MPI_INT64_T, 0, comm));
  if (status != RN_OK) goto end;
  if (rank == 0) status = plan_gather(err, counts, size, &g);
  if ((status = rn_agree(err, world, status)) != RN_OK) goto end;
  status = RN_MPI_WAIT_STATUS(
      err, MPI_Gatherv(mine, (int)count, MPI_BYTE, g.all, g.counts, g.offsets, MPI_BYTE, 0, comm));
  if (status != RN_OK) goto end;
  *all = g.all;
  *sizes = g.sizes;
  g.all = NULL;
  g.sizes = NULL;
end:
  free(counts);
  free(g.counts);
  free(g.offsets);
  free(g.sizes);
  free(g.all);
  return status;
}

rn_status rn_world_gather_bytes(rn_err *err, rn_world *world, const void *mine, size_t count,
                                char **all, size_t **sizes) {
  return gather(err, world, world->comm, mine, count, all, sizes);
}

rn_status rn_world_gather_node_bytes(rn_err *err, rn_world *world, const void *mine, size_t count,
                                     char **all) {
  size_t *sizes = NULL;
  const rn_status status = gather(err, world, world->node, mine, count, all, &sizes);
  free(sizes);
  return status;
}

rn_status rn_world_broadcast(rn_err *err, rn_world *world, void *bytes, size_t count) {
  enum { MAX_MESSAGE_BYTES = 1 << 30 };
  for (size_t at = 0; at < count; at += MAX_MESSAGE_BYTES) {
    size_t message_bytes = count - at < MAX_MESSAGE_BYTES ? count - at : MAX_MESSAGE_BYTES;
    RN_MPI_WAIT(err, MPI_Bcast((char *)bytes + at, (int)message_bytes, MPI_BYTE, 0, world->comm));
  }
  return RN_OK;
}

rn_status rn_world_max(rn_err *err, rn_world *world, int64_t *values, int count) {
  RN_MPI_WAIT(err, MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_INT64_T, MPI_MAX, world->comm));
  return RN_OK;
}

rn_status rn_world_sum(rn_err *err, rn_world *world, int64_t *values, int count) {
  RN_MPI_WAIT(err, MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_INT64_T, MPI_SUM, world->comm));
  return RN_OK;
}

rn_status rn_world_largest_node(rn_err *err, rn_world *world, int64_t mine, int64_t *out) {
  *out = mine;
  RN_MPI_WAIT(err, MPI_Allreduce(MPI_IN_PLACE, out, 1, MPI_INT64_T, MPI_SUM, world->node));
  return rn_world_max(err, world, out, 1);
}

rn_status rn_world_all_gather_double(rn_err *err, rn_world *world, double mine, double *all) {
  RN_MPI_WAIT(err, MPI_Allgather(&mine, 1, MPI_DOUBLE, all, 1, MPI_DOUBLE, world->comm));
  return RN_OK;
}

rn_status rn_world_barrier(rn_err *err, rn_world *world) {
  RN_MPI_WAIT(err, MPI_Barrier(world->comm));
  return RN_OK;
}
