#include "comm/optimizer/shared_array.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "comm/world/mpi_check.h"
#include "proto/base/arena.h"

#define SHM_FOLDER "/dev/shm"

/* Shared memory left for other users, such as MPI's own segments: 1/16 of the total plus 8 MiB. */
enum { RESERVE_DIVISOR = 16, RESERVE_BYTES = 8 << 20, ALIGNMENT_BYTES = 4096 };

struct rn_shared_array {
  void *memory;
  void *own;      /* private memory if this rank is the only one of its node; NULL otherwise */
  MPI_Win window; /* MPI_WIN_NULL if the memory is private */
};

int64_t rn_shared_array_free_bytes(void) {
  struct statvfs about;
  /* A tmpfs without a size limit reports 0 blocks. */
  if (statvfs(SHM_FOLDER, &about) != 0 || about.f_blocks == 0) return INT64_MAX;
  const int64_t free_bytes = (int64_t)about.f_bavail * (int64_t)about.f_frsize;
  const int64_t available = free_bytes - free_bytes / RESERVE_DIVISOR - RESERVE_BYTES;
  return available > 0 ? available : 0;
}

rn_status rn_shared_array_check_space(rn_err *err, const rn_world *world, const rn_node *node,
                                      size_t bytes) {
  const bool first_of_shared = rn_node_size(node) > 1 && rn_node_index(node) == 0;
  int64_t need = first_of_shared ? (int64_t)bytes : 0;
  RN_MPI_WAIT(
      err, MPI_Allreduce(MPI_IN_PLACE, &need, 1, MPI_INT64_T, MPI_SUM, rn_world_node_comm(world)));
  const int64_t available = rn_shared_array_free_bytes();
  rn_status status = RN_OK;
  if (need > available) {
    status = rn_fail(err, RN_ERR_MEMORY,
                     SHM_FOLDER " of host %s has %lld MiB free, but its ranks need %lld MiB there",
                     rn_world_host(world), (long long)available >> 20, (long long)need >> 20);
  }
  return rn_agree(err, world, status);
}

/* The first rank of the node allocates the whole window; the array starts at the first page
 * boundary in it. */
static rn_status map_window(rn_err *err, const rn_node *node, size_t bytes, rn_shared_array *s) {
  const MPI_Aint size = rn_node_index(node) == 0 ? (MPI_Aint)bytes + ALIGNMENT_BYTES : 0;
  MPI_Aint all_bytes;
  int unit;
  char *base;
  RN_MPI_WAIT(
      err, MPI_Win_allocate_shared(size, 1, MPI_INFO_NULL, rn_node_comm(node), &base, &s->window));
  RN_MPI(err, MPI_Win_shared_query(s->window, 0, &all_bytes, &unit, &base));
  s->memory = base + (ALIGNMENT_BYTES - (uintptr_t)base % ALIGNMENT_BYTES) % ALIGNMENT_BYTES;
  return RN_OK;
}

rn_status rn_shared_array_create(rn_err *err, const rn_world *world, const rn_node *node,
                                 const char *what, size_t bytes, rn_shared_array **out) {
  rn_shared_array *s;
  *out = NULL;
  rn_status status = rn_alloc(err, what, 1, sizeof *s, &s);
  if (status == RN_OK) {
    s->window = MPI_WIN_NULL;
    if (rn_node_size(node) == 1) status = rn_alloc(err, what, bytes, 1, &s->own);
    s->memory = s->own;
  }
  status = rn_agree(err, world, status);
  if (status == RN_OK && rn_node_size(node) > 1) status = map_window(err, node, bytes, s);
  if (status != RN_OK) rn_shared_array_destroy(&s);
  *out = s;
  return status;
}

void rn_shared_array_destroy(rn_shared_array **shared) {
  if (*shared == NULL) return;
  rn_mpi_free_window(&(*shared)->window);
  free((*shared)->own);
  free(*shared);
  *shared = NULL;
}

void *rn_shared_array_memory(const rn_shared_array *shared) {
  return shared->memory;
}
