#include "comm/world/cores.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/world/mpi_check.h"
#include "proto/base/affinity.h"
#include "proto/base/arena.h"

enum { MAX_THREADS = 8192 };

static rn_status read_mask(rn_err *err, rn_mask *mask) {
  if (rn_affinity_launcher(mask)) return RN_OK;
  return rn_fail(err, RN_ERR_LIBRARY,
                 "cannot read the affinity mask: %s; set parallel.threads, and do not bind ranks",
                 strerror(errno));
}

/* Returns the number of cores in the affinity mask of mpirun, the parent process; mpirun binds its
 * ranks to cores of this mask. */
static int cores_of_launcher(void) {
  rn_mask mask;
  if (getenv("OMPI_COMM_WORLD_SIZE") == NULL) return 0;
  return sched_getaffinity(getppid(), RN_MASK_BYTES, mask.set) == 0 ? rn_mask_count(&mask) : 0;
}

/* All-gathers the masks of the ranks of the node; counts the masks that overlap this rank's, and
 * the cores in the union of all. */
static rn_status count_sharing(rn_err *err, const rn_world *world, const rn_mask *mine,
                               rn_cores *out) {
  rn_mask *all, used = {0};
  rn_status status = rn_alloc(err, "affinity masks", (size_t)out->ranks, sizeof *all, &all);
  if ((status = rn_agree(err, world, status)) != RN_OK) {
    free(all);
    return status;
  }
  status = RN_MPI_WAIT_STATUS(err, MPI_Allgather(mine, RN_MASK_BYTES, MPI_BYTE, all, RN_MASK_BYTES,
                                                 MPI_BYTE, rn_world_node_comm(world)));
  out->sharing = 0;
  for (int r = 0; r < out->ranks; r++) {
    out->sharing += rn_mask_overlaps(mine, &all[r]);
    CPU_OR_S(RN_MASK_BYTES, used.set, used.set, all[r].set);
  }
  out->used = rn_mask_count(&used);
  free(all);
  return status;
}

rn_status rn_cores_detect(rn_err *err, rn_world *world, rn_cores *out) {
  rn_mask mask = {0};
  *out = (rn_cores){.cores = 1, .sharing = 1, .ranks = rn_world_node_ranks(world), .used = 1};
  out->offered = cores_of_launcher();
  RN_TRY(err, rn_agree(err, world, read_mask(err, &mask)));
  out->cores = rn_mask_count(&mask);
  return count_sharing(err, world, &mask, out);
}

/* Returns the first number of OMP_NUM_THREADS, which may be a list with one number per nesting
 * level; 0 if it is not set. */
static int threads_of_environment(void) {
  const char *text = getenv("OMP_NUM_THREADS");
  const long value = text == NULL ? 0 : strtol(text, NULL, 10);
  return value >= 1 && value <= MAX_THREADS ? (int)value : 0;
}

bool rn_cores_threads_given(int requested) {
  return requested > 0 || threads_of_environment() > 0;
}

int rn_cores_threads(rn_cores cores, int requested) {
  if (requested > 0) return requested;
  const int value = threads_of_environment();
  if (value > 0) return value;
  const int share = cores.cores / (cores.sharing > 0 ? cores.sharing : 1);
  return share > 1 ? share : 1;
}

bool rn_cores_left_over(rn_cores cores, int threads) {
  return (int64_t)cores.sharing * (threads + 1) <= cores.cores;
}
