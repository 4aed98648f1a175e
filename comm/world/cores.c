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
#include "proto/base/omp_threads.h"

static rn_status read_mask(rn_err *err, rn_mask *mask) {
  if (rn_affinity_launcher(mask)) return RN_OK;
  return rn_fail(err, RN_ERR_LIBRARY,
                 "cannot read the affinity mask: %s; set parallel.threads, and do not bind ranks",
                 strerror(errno));
}

/* Returns the number of physical cores in a mask. Uses `sibling` as workspace. */
static int count_cores(const rn_mask *mask, int *sibling) {
  rn_affinity_siblings(rn_affinity_folder(), mask, sibling);
  return rn_affinity_physical(mask, sibling);
}

/* Reads the affinity mask of mpirun, the parent process; mpirun binds its ranks to cores of this
 * mask. Returns false if mpirun did not start this process. */
static bool read_launchers_mask(rn_mask *mask) {
  if (getenv("OMPI_COMM_WORLD_SIZE") == NULL) return false;
  return sched_getaffinity(getppid(), RN_MASK_BYTES, mask->set) == 0;
}

/* Counts the masks that overlap this rank's mask, and the cores in the union of all masks. */
static void count_sharing(const rn_mask *all, const rn_mask *mine, int rank, rn_cores *out) {
  static int sibling[RN_MASK_CORES];
  rn_mask used = {0};
  int before = 0;
  bool same = true;
  out->sharing = 0;
  for (int r = 0; r < out->ranks; r++) {
    CPU_OR_S(RN_MASK_BYTES, used.set, used.set, all[r].set);
    if (!rn_mask_overlaps(mine, &all[r])) continue;
    same = same && memcmp(mine, &all[r], sizeof *mine) == 0;
    before += r < rank;
    out->sharing++;
  }
  out->used = count_cores(&used, sibling);
  if (same) out->own = rn_affinity_divide(mine, sibling, out->sharing, before);
}

/* All-gathers the masks of the ranks of the node. */
static rn_status gather_masks(rn_err *err, const rn_world *world, const rn_mask *mine,
                              rn_cores *out) {
  rn_mask *all;
  int rank = 0;
  rn_status status = rn_alloc(err, "affinity masks", (size_t)out->ranks, sizeof *all, &all);
  if ((status = rn_agree(err, world, status)) != RN_OK) {
    free(all);
    return status;
  }
  status = RN_MPI_WAIT_STATUS(err, MPI_Allgather(mine, RN_MASK_BYTES, MPI_BYTE, all, RN_MASK_BYTES,
                                                 MPI_BYTE, rn_world_node_comm(world)));
  if (status == RN_OK) {
    status = RN_MPI_STATUS(err, MPI_Comm_rank(rn_world_node_comm(world), &rank));
  }
  if (status == RN_OK) count_sharing(all, mine, rank, out);
  free(all);
  return status;
}

rn_status rn_cores_detect(rn_err *err, rn_world *world, rn_cores *out) {
  static int sibling[RN_MASK_CORES];
  rn_mask mask = {0}, launcher = {0};
  *out = (rn_cores){.cores = 1, .sharing = 1, .ranks = rn_world_node_ranks(world), .used = 1};
  if (read_launchers_mask(&launcher)) out->offered = count_cores(&launcher, sibling);
  RN_TRY(err, rn_agree(err, world, read_mask(err, &mask)));
  out->cores = count_cores(&mask, sibling);
  out->hardware_threads = rn_mask_count(&mask);
  return gather_masks(err, world, &mask, out);
}

bool rn_cores_of_process(rn_cores *out) {
  static int sibling[RN_MASK_CORES];
  *out = (rn_cores){.cores = 1, .sharing = 1, .ranks = 1, .used = 1};
  if (!rn_affinity_launcher(&out->own)) return false;
  out->used = out->cores = count_cores(&out->own, sibling);
  out->hardware_threads = rn_mask_count(&out->own);
  return true;
}

int rn_cores_hyperthreads(rn_cores cores) {
  return cores.cores > 0 && cores.hardware_threads > cores.cores
             ? cores.hardware_threads / cores.cores
             : 1;
}

bool rn_cores_threads_given(int requested) {
  return requested > 0 || rn_omp_threads() > 0;
}

int rn_cores_threads(rn_cores cores, int requested) {
  if (requested > 0) return requested;
  const int value = rn_omp_threads();
  if (value > 0) return value;
  const int share = cores.cores / (cores.sharing > 0 ? cores.sharing : 1);
  return share > 1 ? share : 1;
}

bool rn_cores_suffice(rn_cores cores, int threads) {
  return (int64_t)cores.sharing * threads <= cores.cores;
}

bool rn_cores_left_over(rn_cores cores, int threads) {
  return (int64_t)cores.sharing * (threads + 1) <= cores.cores;
}
