/* Checks that ranks agree on the worst failure and its rank, that every grid whose size is the
 * number of ranks has the right communicators for its axes, and that gathered bytes arrive
 * complete. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/optimizer/reduce_scatter.h"
#include "comm/world/grid.h"
#include "comm/world/node.h"
#include "comm/world/world.h"
#include "tests/support/check.h"
#include "tests/support/world.h"

static rn_err err;

/* Agrees on a failure of the last rank, while rank 0 fails with `other`. */
static void fail_on_last(rn_world *world, rn_status other, int rank, int size) {
  char words[512];
  rn_status status = rank == 0 ? rn_fail(&err, other, "file a") : RN_OK;
  if (rank == size - 1) {
    rn_err_clear(&err);
    status = rn_fail(&err, RN_ERR_IO, "disk b");
  }
  if (size == 1) {
    snprintf(words, sizeof words, "disk b");
  } else {
    snprintf(words, sizeof words, "rank %d on |%s|disk b", size - 1, rn_world_host(world));
  }
  CHECK_FAILS(&err, RN_ERR_IO, words, rn_agree(&err, world, status));
  CHECK_EQUAL(err.status, RN_OK);
}

/* A caller that uses older data if the newest are damaged or missing must not do so if a rank could
 * not read them. */
static void the_worst_status_wins_and_names_its_rank(rn_world *world, int rank, int size) {
  fail_on_last(world, RN_ERR_FORMAT, rank, size);
  fail_on_last(world, RN_ERR_NOT_FOUND, rank, size);
  fail_on_last(world, RN_ERR_USAGE, rank, size);
}

/* Rank 0 passes on the failure on which all ranks have agreed. */
static void a_second_agreement_keeps_the_text(rn_world *world, int rank, int size) {
  rn_status status = rank == size - 1 ? rn_fail(&err, RN_ERR_IO, "disk b") : RN_OK;
  status = rn_agree(&err, world, status);
  const rn_err first = err;
  if (rank > 0) {
    rn_err_clear(&err);
    status = RN_OK;
  }
  CHECK_EQUAL(rn_agree(&err, world, status), RN_ERR_IO);
  CHECK(strcmp(err.text, first.text) == 0);
  rn_err_clear(&err);
}

static void the_first_rank_with_the_worst_status_is_named(rn_world *world, int rank, int size) {
  rn_status status = rn_fail(&err, RN_ERR_IO, "disk of %d", rank);
  CHECK_FAILS(&err, RN_ERR_IO, size == 1 ? "disk of 0" : "rank 0 on |disk of 0",
              rn_agree(&err, world, status));
}

static void gathered_bytes_are_whole(rn_world *world, int rank, int size) {
  char *mine = malloc((size_t)rank + 1), *all = NULL;
  size_t *sizes = NULL;
  memset(mine, 'a' + rank, (size_t)rank + 1);
  CHECK_OK(&err, rn_world_gather_bytes(&err, world, mine, (size_t)rank, &all, &sizes));
  CHECK((all != NULL) == (rank == 0) && (sizes != NULL) == (rank == 0));
  const char *at = all;
  for (int r = 0; rank == 0 && r < size; r++) {
    CHECK_EQUAL(sizes[r], r);
    for (int i = 0; i < r; i++) CHECK_EQUAL(*at++, 'a' + r);
  }
  free(all);
  free(sizes);
  free(mine);
}

static void too_much_to_gather_is_refused(rn_world *world, int rank, int size) {
  char *all = NULL, byte = 0;
  size_t *sizes = NULL;
  const size_t count = rank == size - 1 ? (size_t)1 << 31 : 0;
  CHECK_FAILS(&err, RN_ERR_MEMORY, "2147483648 bytes",
              rn_world_gather_bytes(&err, world, &byte, count, &all, &sizes));
  CHECK(all == NULL && sizes == NULL);
}

static void sums_and_gathers_are_right(rn_world *world, int rank, int size) {
  int64_t values[2] = {rank, 1 - rank}, sums[1] = {rank};
  double *all = calloc((size_t)size, sizeof *all);
  CHECK_OK(&err, rn_world_max(&err, world, values, 2));
  CHECK_OK(&err, rn_world_sum(&err, world, sums, 1));
  CHECK(values[0] == size - 1 && values[1] == 1 && sums[0] == size * (size - 1) / 2);
  CHECK_OK(&err, rn_world_all_gather_double(&err, world, rank * 0.5, all));
  for (int r = 0; r < size; r++) CHECK(all[r] == r * 0.5);
  CHECK_OK(&err, rn_world_barrier(&err, world));
  free(all);
}

static void a_subset_is_a_world_of_its_own(rn_world *world, int rank, int size) {
  rn_world *subset = NULL;
  const int members = (size + 1) / 2; /* ranks with an even number */
  if (!CHECK_OK(&err, rn_world_split(&err, world, rank % 2 == 0 ? 0 : -1, &subset))) return;
  CHECK((subset != NULL) == (rank % 2 == 0));
  if (subset != NULL) {
    int64_t sum = rank;
    CHECK(rn_world_rank(subset) == rank / 2 && rn_world_size(subset) == members);
    CHECK_OK(&err, rn_world_sum(&err, subset, &sum, 1));
    CHECK_EQUAL(sum, members * (members - 1));
  }
  rn_world_close(&subset);
  CHECK(subset == NULL);
}

static void a_grid_is_cut_into_its_axes(rn_world *world, int data, int pipeline, int sequence) {
  const int rank = rn_world_rank(world);
  rn_grid *grid = NULL;
  if (!CHECK_OK(&err, rn_grid_create(&err, world, data, pipeline, sequence, &grid))) return;
  const int d = rn_grid_data(grid), p = rn_grid_pipeline(grid), s = rn_grid_sequence(grid);
  CHECK(d < data && p < pipeline && s < sequence);
  CHECK_EQUAL((d * pipeline + p) * sequence + s, rank);
  CHECK_EQUAL(rn_grid_sequence_size(grid), sequence);
  CHECK_EQUAL(rn_grid_replica_size(grid), data * sequence);
  int index = -1, ranks = -1;
  MPI_Comm_rank(rn_grid_sequence_comm(grid), &index);
  MPI_Comm_size(rn_grid_sequence_comm(grid), &ranks);
  CHECK(index == s && ranks == sequence);
  MPI_Comm_rank(rn_grid_replica_comm(grid), &index);
  MPI_Comm_size(rn_grid_replica_comm(grid), &ranks);
  CHECK(index == rn_grid_replica(grid) && ranks == data * sequence);
  MPI_Comm_rank(rn_grid_pipeline_comm(grid), &index);
  MPI_Comm_size(rn_grid_pipeline_comm(grid), &ranks);
  CHECK(index == p && ranks == pipeline && rn_grid_pipeline_size(grid) == pipeline);
  double sum[2] = {p, 1}; /* every rank contributes once */
  CHECK_OK(&err, rn_sum_doubles(&err, grid, sum, 2));
  CHECK(sum[0] == 0.5 * pipeline * (pipeline - 1) * data * sequence);
  CHECK(sum[1] == (double)data * pipeline * sequence);
  rn_grid_destroy(&grid);
  CHECK(grid == NULL);
}

static void every_grid(rn_world *world, int size) {
  for (int data = 1; data <= size; data++) {
    for (int pipeline = 1; data * pipeline <= size; pipeline++) {
      if (size % (data * pipeline) != 0) continue;
      a_grid_is_cut_into_its_axes(world, data, pipeline, size / data / pipeline);
    }
  }
  char words[64];
  rn_grid *grid = NULL;
  snprintf(words, sizeof words, "1 x 2 x %d|%d ranks", size, size);
  CHECK_FAILS(&err, RN_ERR_USAGE, words, rn_grid_create(&err, world, 1, 2, size, &grid));
  CHECK_FAILS(&err, RN_ERR_USAGE, "-1", rn_grid_create(&err, world, -1, -1, size, &grid));
  CHECK_FAILS(&err, RN_ERR_USAGE, "65536", rn_grid_create(&err, world, 65536, 65536, size, &grid));
}

/* If one rank has an invalid value, all ranks must refuse it. */
static void a_wrong_node_limit_is_refused(rn_world *world, int rank, int size) {
  static const char *const wrong[] = {"", "-1", "two", "2x", "99999999999999999999"};
  int max_size = -1;
  unsetenv("RETNET_NODE_RANKS");
  CHECK_OK(&err, rn_node_read_limit(&err, world, &max_size));
  CHECK_EQUAL(max_size, 0);
  setenv("RETNET_NODE_RANKS", "3", 1);
  CHECK_OK(&err, rn_node_read_limit(&err, world, &max_size));
  CHECK_EQUAL(max_size, 3);
  setenv("RETNET_NODE_RANKS", "0", 1); /* a node consists of all ranks of a host */
  CHECK_OK(&err, rn_node_read_limit(&err, world, &max_size));
  CHECK_EQUAL(max_size, 0);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    if (rank == size - 1) setenv("RETNET_NODE_RANKS", wrong[i], 1);
    CHECK_FAILS(&err, RN_ERR_USAGE, "RETNET_NODE_RANKS|0 for all",
                rn_node_read_limit(&err, world, &max_size));
  }
  unsetenv("RETNET_NODE_RANKS");
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  const int size = rn_world_size(world), rank = rn_world_rank(world);
  CHECK_EQUAL(rn_world_node_ranks(world), size);
  the_worst_status_wins_and_names_its_rank(world, rank, size);
  a_second_agreement_keeps_the_text(world, rank, size);
  the_first_rank_with_the_worst_status_is_named(world, rank, size);
  gathered_bytes_are_whole(world, rank, size);
  too_much_to_gather_is_refused(world, rank, size);
  sums_and_gathers_are_right(world, rank, size);
  a_subset_is_a_world_of_its_own(world, rank, size);
  every_grid(world, size);
  a_wrong_node_limit_is_refused(world, rank, size);
  return test_finish_world(&err, &world);
}
