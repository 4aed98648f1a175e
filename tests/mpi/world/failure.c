/* Checks that a rank on which an MPI call has failed waits for the other ranks neither in rn_agree
 * nor when it frees communicators: they do not know of the failure. */
#include "comm/world/mpi_check.h"
#include "comm/world/world.h"
#include "tests/support/check.h"

static rn_err err;

static void an_mpi_failure_is_not_agreed(rn_world *world) {
  rn_err failure = {0};
  rn_status status = RN_MPI_STATUS(&failure, MPI_ERR_OTHER);
  CHECK_FAILS(&failure, RN_ERR_MPI, "MPI_ERR_OTHER|rank 1: ", rn_agree(&failure, world, status));
}

static void nothing_is_freed_after_a_failure(MPI_Comm *comm) {
  const MPI_Comm before = *comm;
  rn_mpi_free_comm(comm);
  CHECK(*comm == before);
}

int main(int argc, char **argv) {
  static rn_world *world; /* not closed: rank 1 frees no communicators */
  MPI_Comm comm;
  CHECK_OK(&err, rn_world_start(&err, &argc, &argv, &world));
  CHECK_EQUAL(MPI_Comm_dup(rn_world_comm(world), &comm), MPI_SUCCESS);
  if (rn_world_rank(world) == 1) {
    an_mpi_failure_is_not_agreed(world);
    nothing_is_freed_after_a_failure(&comm);
  }
  /* If rn_agree had communicated on rank 1, its all-reduce would match this call on the other
   * ranks. */
  int64_t sum = 1;
  CHECK_OK(&err, rn_world_max(&err, world, &sum, 1));
  CHECK_EQUAL(sum, 1);
  int failed = check_result();
  MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  MPI_Finalize();
  return failed;
}
