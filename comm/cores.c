#include "comm/cores.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/mpi_check.h"
#include "proto/arena.h"

/* Room for every core that one Linux kernel can have. */
enum { MASK_CORES = 8192, MASK_BYTES = MASK_CORES / 8, MAX_THREADS = 8192 };

static bool meet(const unsigned char *a, const unsigned char *b) {
  for (int i = 0; i < MASK_BYTES; i++) {
    if (a[i] & b[i]) return true;
  }
  return false;
}

static rn_status read_mask(rn_err *err, cpu_set_t *mask) {
  if (sched_getaffinity(0, MASK_BYTES, mask) == 0) return RN_OK;
  return rn_fail(err, RN_ERR_LIBRARY,
                 "the affinity mask cannot be read: %s. Give parallel.threads and bind nothing",
                 strerror(errno));
}

/* What mpirun, which started this process, binds its ranks within. */
static int cores_of_launcher(cpu_set_t *work) {
  if (getenv("OMPI_COMM_WORLD_SIZE") == NULL) return 0;
  return sched_getaffinity(getppid(), MASK_BYTES, work) == 0 ? CPU_COUNT_S(MASK_BYTES, work) : 0;
}

static void join(const unsigned char *from, unsigned char *to) {
  for (int i = 0; i < MASK_BYTES; i++) to[i] |= from[i];
}

/* All ranks of a node show their masks; each counts those that meet its own, and joins all. */
static rn_status compare(rn_err *err, const rn_world *world, cpu_set_t *mine, rn_cores *out) {
  unsigned char *own = (unsigned char *)mine, *all = calloc((size_t)out->ranks, MASK_BYTES);
  if (all == NULL)
    return rn_fail(err, RN_ERR_MEMORY, "no memory for %d affinity masks", out->ranks);
  rn_status status =
      RN_MPI_WAIT_STATUS(err, MPI_Allgather(own, MASK_BYTES, MPI_BYTE, all, MASK_BYTES, MPI_BYTE,
                                            rn_world_node_comm(world)));
  out->sharing = 0;
  for (int r = 0; r < out->ranks; r++) out->sharing += meet(own, all + (size_t)r * MASK_BYTES);
  for (int r = 0; r < out->ranks; r++) join(all + (size_t)r * MASK_BYTES, own);
  out->used = CPU_COUNT_S(MASK_BYTES, mine);
  free(all);
  return status;
}

rn_status rn_cores_look(rn_err *err, rn_world *world, rn_cores *out) {
  cpu_set_t *mask = NULL;
  *out = (rn_cores){.cores = 1, .sharing = 1, .ranks = rn_world_node_ranks(world), .used = 1};
  rn_status status = rn_alloc(err, "affinity mask", 1, MASK_BYTES, &mask);
  if (status == RN_OK) out->offered = cores_of_launcher(mask);
  if (status == RN_OK) status = read_mask(err, mask);
  status = rn_agree(err, world, status);
  if (status == RN_OK) {
    out->cores = CPU_COUNT_S(MASK_BYTES, mask);
    status = compare(err, world, mask, out);
  }
  free(mask);
  return status;
}

/* OMP_NUM_THREADS may be a list by level: its first is ours. 0: it does not say. */
static int threads_of_environment(void) {
  const char *text = getenv("OMP_NUM_THREADS");
  const long given = text == NULL ? 0 : strtol(text, NULL, 10);
  return given >= 1 && given <= MAX_THREADS ? (int)given : 0;
}

int rn_cores_threads(rn_cores cores, int asked) {
  if (asked > 0) return asked;
  const int given = threads_of_environment();
  if (given > 0) return given;
  const int share = cores.cores / (cores.sharing > 0 ? cores.sharing : 1);
  return share > 1 ? share : 1;
}

bool rn_cores_left_over(rn_cores cores, int threads) {
  return (int64_t)cores.sharing * (threads + 1) <= cores.cores;
}

bool rn_cores_may_be_left_over(int asked) {
  const int threads = asked > 0 ? asked : threads_of_environment();
  const char *text = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  const int64_t ranks = text == NULL ? 1 : strtol(text, NULL, 10);
  cpu_set_t *mask = calloc(1, MASK_BYTES);
  if (mask == NULL || threads == 0) {
    free(mask);
    return false;
  }
  const int offered = cores_of_launcher(mask);
  bool may = offered == 0 || ranks * (threads + 1) <= offered;
  may =
      may && sched_getaffinity(0, MASK_BYTES, mask) == 0 && CPU_COUNT_S(MASK_BYTES, mask) > threads;
  free(mask);
  return may;
}
