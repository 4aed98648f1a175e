/* Checks that the last messages of an object are awaited although MPI returns an error for a while,
 * and that the wait gives up if MPI always returns one, or if a message never arrives. This file is
 * linked between the product and MPI: MPI_Testall returns an error as often as the test says. */
#include "comm/world/last_wait.h"

#include <limits.h>

#include "comm/world/world.h"
#include "tests/support/check.h"

static rn_err err;
static int errors; /* number of next calls that return an error */

int MPI_Testall(int count, MPI_Request requests[], int *flag, MPI_Status statuses[]) {
  if (errors > 0) {
    errors--;
    return MPI_ERR_OTHER;
  }
  return PMPI_Testall(count, requests, flag, statuses);
}

/* This rank sends a message to itself. MPI returns an error `number` times before it tests the
 * requests; if `lacks` is true, the message of a third request is never sent. */
static void check_wait(int rank, int number, bool lacks, bool expected) {
  int value = 0, unsent = 0, sent = 7;
  MPI_Request requests[3] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL, MPI_REQUEST_NULL};
  CHECK(MPI_Irecv(&value, 1, MPI_INT, rank, 1, MPI_COMM_WORLD, &requests[0]) == MPI_SUCCESS);
  CHECK(MPI_Isend(&sent, 1, MPI_INT, rank, 1, MPI_COMM_WORLD, &requests[1]) == MPI_SUCCESS);
  if (lacks) MPI_Irecv(&unsent, 1, MPI_INT, rank, 2, MPI_COMM_WORLD, &requests[2]);
  errors = number;
  CHECK(rn_last_wait(3, requests) == expected);
  errors = 0;
  if (lacks) MPI_Cancel(&requests[2]);
  MPI_Waitall(3, requests, MPI_STATUSES_IGNORE);
  CHECK(value == sent);
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  const int rank = rn_world_rank(world);
  CHECK(rn_last_wait(0, NULL));
  check_wait(rank, 0, false, true);
  check_wait(rank, 3, false, true);
  check_wait(rank, INT_MAX, false, false);
  check_wait(rank, 0, true, false);
  const int result = check_result();
  return rn_world_finish(&world, RN_OK, &err) + result;
}
