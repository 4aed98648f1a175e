/*
 * Checks that sums over replicas are bitwise equal to sums in rank order, for any order in which
 * buckets start and any grouping of ranks into nodes. Ranks of the same node read each other's
 * gradients in shared memory. Checks the same with gradients in private memory.
 */
#include <stdlib.h>
#include <unistd.h>

#include "comm/optimizer/peer_memory.h"
#include "comm/optimizer/reduce_scatter.h"
#include "proto/base/range.h"
#include "tests/support/check.h"

enum { BUCKETS = 7 };

static rn_err err;

/* Returns values whose float sum depends on the order of summation. */
static float value(int rank, int64_t index) {
  return (float)((index * 2654435761 + rank * 40503) % 1000003) * 1e-3f;
}

/* Returns buckets and shards of unequal size, some of them empty. */
static rn_optimizer_shards make_shards(int size, int64_t total) {
  rn_optimizer_shards s = {BUCKETS, size, calloc(BUCKETS * ((size_t)size + 1), sizeof(int64_t))};
  for (int b = 0; b < BUCKETS; b++) {
    const rn_range bucket = {total * b * b / (BUCKETS * BUCKETS),
                             total * (b + 1) * (b + 1) / (BUCKETS * BUCKETS)};
    for (int r = 0; r <= size; r++) {
      const int64_t cut = rn_cut(rn_range_count(bucket), size, r).begin / 3 * 2;
      s.edge[b * (size + 1) + r] = r == size ? bucket.end : bucket.begin + cut;
    }
  }
  return s;
}

/* A reduction, and the memory of this rank's gradients. */
typedef struct reduction {
  rn_reduce_kind kind;
  size_t bytes_each;
  rn_optimizer_shards shards;
  int64_t total;
  rn_node *node;
  rn_peer_memory *peers; /* NULL: gradients are in private memory */
  char *gradient, *own;
  rn_reduce_scatter *reduce_scatter;
} reduction;

/* Creates a reduction in which at most `node_ranks` ranks share memory; -1: all gradients are in
 * private memory. */
static bool create(const rn_world *world, const rn_grid *grid, rn_reduce_kind kind, int node_ranks,
                   int64_t total, reduction *r) {
  const size_t bytes_each = kind == RN_REDUCE_EXACT ? sizeof(int64_t) : sizeof(float);
  const size_t bytes = (size_t)total * bytes_each;
  *r = (reduction){.kind = kind, .bytes_each = bytes_each, .total = total};
  r->shards = make_shards(rn_grid_replica_size(grid), total);
  if (node_ranks >= 0) {
    CHECK_OK(&err, rn_node_create(&err, world, grid, node_ranks, &r->node));
    CHECK_OK(&err, rn_peer_memory_create(&err, world, r->node, "gradients", bytes, &r->peers));
    if (r->peers == NULL) return false;
  }
  r->gradient = r->peers != NULL ? rn_peer_memory_own(r->peers) : calloc(bytes, 1);
  r->own = calloc(bytes, 1);
  return CHECK_OK(&err, rn_reduce_scatter_create(&err, grid, &r->shards,
                                                 (rn_reduce_operands){kind, r->own, r->peers},
                                                 &r->reduce_scatter));
}

static void destroy(reduction *r) {
  rn_reduce_scatter_destroy(&r->reduce_scatter);
  if (r->peers == NULL) free(r->gradient);
  rn_peer_memory_destroy(&r->peers);
  rn_node_destroy(&r->node);
  free(r->shards.edge);
  free(r->own);
}

static void write_gradient(reduction *r, int rank, int round) {
  float *number = (float *)(void *)r->gradient;
  int64_t *exact = (int64_t *)(void *)r->gradient;
  for (int64_t i = 0; i < r->total; i++) {
    if (r->kind == RN_REDUCE_FLOAT) number[i] = value(rank, i + round);
    if (r->kind == RN_REDUCE_EXACT) exact[i] = ((int64_t)1 << 52) * (rank + 1) + i * (round + 1);
  }
}

static void start_bucket(reduction *r, int bucket) {
  const int64_t begin = rn_optimizer_shards_bucket(&r->shards, bucket).begin;
  CHECK_OK(&err, rn_reduce_scatter_start(&err, r->reduce_scatter, bucket,
                                         r->gradient + (size_t)begin * r->bytes_each));
}

static bool is_sum(const reduction *r, int size, int round, int64_t at, int64_t index) {
  if (r->kind == RN_REDUCE_EXACT) {
    const int64_t numbers = (int64_t)size * (size + 1) / 2;
    return ((const int64_t *)(const void *)r->own)[at] ==
           ((int64_t)1 << 52) * numbers + size * index * (round + 1);
  }
  float sum = value(0, index + round);
  for (int i = 1; i < size; i++) sum += value(i, index + round);
  return ((const float *)(const void *)r->own)[at] == sum;
}

static void check_sums(const reduction *r, int rank, int size, int round) {
  int64_t at = 0, wrong = 0;
  for (int b = 0; b < BUCKETS; b++) {
    const rn_range mine = rn_optimizer_shards_of(&r->shards, b, rank);
    for (int64_t i = mine.begin; i < mine.end; i++) wrong += !is_sum(r, size, round, at++, i);
  }
  CHECK_EQUAL(wrong, 0);
}

/* Reduces different values in three rounds; the order in which buckets start also changes. */
static void sums_are_right(const rn_world *world, const rn_grid *grid, rn_reduce_kind kind,
                           int node_ranks, int64_t total) {
  const int rank = rn_grid_replica(grid), size = rn_grid_replica_size(grid);
  reduction r;
  if (!create(world, grid, kind, node_ranks, total, &r)) return;
  for (int round = 0; round < 3; round++) {
    write_gradient(&r, rank, round);
    for (int b = 0; b < BUCKETS; b++) start_bucket(&r, round == 1 ? b : BUCKETS - 1 - b);
    CHECK_OK(&err, rn_reduce_scatter_finish(&err, r.reduce_scatter));
    rn_reduce_scatter_release(r.reduce_scatter);
    check_sums(&r, rank, size, round);
  }
  const int64_t own_bytes = rn_reduce_scatter_bytes_sent(r.reduce_scatter);
  CHECK(size == 1 ? own_bytes == 0 : own_bytes > 0);
  destroy(&r);
}

/*
 * Checks that no rank changes its gradients while another rank still reads them. One rank sums
 * late; the other ranks have completed their own sums by then.
 */
static void gradients_stay_until_all_have_read(const rn_world *world, const rn_grid *grid,
                                               int node_ranks) {
  const int rank = rn_grid_replica(grid), size = rn_grid_replica_size(grid);
  reduction r;
  if (!create(world, grid, RN_REDUCE_FLOAT, node_ranks, 4000, &r)) return;
  if (rank == size - 1) setenv("RETNET_FAULT", "reduce_scatter.sum:1-:slow=5", 1);
  for (int round = 0; round < 3; round++) {
    write_gradient(&r, rank, round);
    for (int b = 0; b < BUCKETS; b++) start_bucket(&r, b);
    CHECK_OK(&err, rn_reduce_scatter_finish(&err, r.reduce_scatter));
    check_sums(&r, rank, size, round);
    rn_reduce_scatter_release(r.reduce_scatter);
  }
  unsetenv("RETNET_FAULT");
  destroy(&r);
}

/* The last rank starts its buckets only after all other ranks have started all of theirs. */
static void a_late_rank_blocks_nobody(const rn_world *world, const rn_grid *grid, int node_ranks) {
  const int rank = rn_grid_replica(grid), size = rn_grid_replica_size(grid);
  reduction r;
  if (!create(world, grid, RN_REDUCE_FLOAT, node_ranks, 4000, &r)) return;
  write_gradient(&r, rank, 0);
  if (rank == size - 1) MPI_Barrier(rn_world_comm(world));
  for (int b = 0; b < BUCKETS; b++) start_bucket(&r, b);
  if (rank != size - 1) MPI_Barrier(rn_world_comm(world));
  CHECK_OK(&err, rn_reduce_scatter_finish(&err, r.reduce_scatter));
  check_sums(&r, rank, size, 0);
  rn_reduce_scatter_release(r.reduce_scatter);
  destroy(&r);
}

/*
 * Checks that a rank that waits for buckets of another rank still completes its own sends to that
 * rank, such as the last state of a scan: the other rank may need these messages before it can
 * start its buckets.
 */
static void a_waiting_rank_delivers_its_messages(const rn_world *world, const rn_grid *grid,
                                                 int node_ranks) {
  enum { COUNT = 1 << 20, TAG = 1, LATE_US = 100000 };
  const int rank = rn_grid_replica(grid), size = rn_grid_replica_size(grid), last = size - 1;
  const MPI_Comm comm = rn_world_comm(world);
  MPI_Request send = MPI_REQUEST_NULL;
  reduction r;
  if (size == 1 || !create(world, grid, RN_REDUCE_FLOAT, node_ranks, 4000, &r)) return;
  float *message = calloc(COUNT, sizeof *message);
  write_gradient(&r, rank, 0);
  if (rank == 0) MPI_Isend(message, COUNT, MPI_FLOAT, last, TAG, comm, &send);
  if (rank == last) {
    usleep(LATE_US); /* all other ranks are waiting by now */
    MPI_Recv(message, COUNT, MPI_FLOAT, 0, TAG, comm, MPI_STATUS_IGNORE);
  }
  for (int b = 0; b < BUCKETS; b++) start_bucket(&r, b);
  CHECK_OK(&err, rn_reduce_scatter_finish(&err, r.reduce_scatter));
  check_sums(&r, rank, size, 0);
  rn_reduce_scatter_release(r.reduce_scatter);
  MPI_Wait(&send, MPI_STATUS_IGNORE);
  free(message);
  destroy(&r);
}

/* If one rank cannot create its block of shared memory or open the block of another rank, all ranks
 * must return the error. */
static void a_rank_without_memory_is_known_to_all(const rn_world *world, const rn_grid *grid) {
  static const char *const fault[] = {"peer_memory.create:1", "peer_memory.reserve:1",
                                      "peer_memory.open:1"};
  static const char *const words[] = {"share memory|memfd_create", "share memory|fallocate",
                                      "share memory|/proc/"};
  const int rank = rn_grid_replica(grid), size = rn_grid_replica_size(grid);
  for (int i = 0; size > 1 && i < 3; i++) {
    rn_peer_memory *peers = NULL;
    rn_node *node = NULL;
    CHECK_OK(&err, rn_node_create(&err, world, grid, 0, &node));
    if (rank == size / 2) setenv("RETNET_FAULT", fault[i], 1);
    CHECK_FAILS(&err, RN_ERR_MEMORY, words[i],
                rn_peer_memory_create(&err, world, node, "gradients", 1000, &peers));
    unsetenv("RETNET_FAULT");
    CHECK(peers == NULL);
    rn_node_destroy(&node);
  }
}

/* With a single replica, the gradient itself is the sum: it is neither sent nor copied. */
static void a_single_replica_sends_nothing(const rn_grid *grid) {
  reduction r = {.bytes_each = sizeof(float), .shards = make_shards(1, 1000), .total = 1000};
  float gradient[1000];
  r.gradient = (char *)gradient;
  for (int i = 0; i < 1000; i++) gradient[i] = (float)i;
  CHECK_OK(&err, rn_reduce_scatter_create(&err, grid, &r.shards,
                                          (rn_reduce_operands){RN_REDUCE_FLOAT, NULL, NULL},
                                          &r.reduce_scatter));
  for (int b = 0; b < BUCKETS; b++) start_bucket(&r, b);
  CHECK_OK(&err, rn_reduce_scatter_finish(&err, r.reduce_scatter));
  for (int i = 0; i < 1000; i++) CHECK(gradient[i] == (float)i);
  rn_reduce_scatter_destroy(&r.reduce_scatter);
  free(r.shards.edge);
}

static void gathered_doubles_have_the_bits_of_their_owners(const rn_grid *grid, int rank,
                                                           int size) {
  enum { EACH = 5 };
  double *values = calloc((size_t)size * EACH, sizeof *values);
  for (int i = 0; i < EACH; i++) values[i * size + rank] = (double)value(rank, i);
  CHECK_OK(&err, rn_gather_ordered(&err, grid, values, (int64_t)size * EACH));
  for (int i = 0; i < size * EACH; i++) CHECK(values[i] == (double)value(i % size, i / size));
  free(values);
}

static void a_failure_on_one_rank_is_known_to_all(rn_world *world, int rank, int size) {
  const int culprit = size - 1;
  rn_status status = RN_OK;
  if (rank == culprit) status = rn_fail(&err, RN_ERR_IO, "file x is gone");
  CHECK_FAILS(&err, RN_ERR_IO, "file x is gone", rn_agree(&err, world, status));
  CHECK_OK(&err, rn_agree(&err, world, RN_OK));
  CHECK_OK(&err, rn_world_check_same(&err, world, "a number", "1", 1));
  if (size == 1) return;
  char own[2] = {(char)('a' + (rank == culprit)), 0};
  CHECK_FAILS(&err, RN_ERR_MISMATCH, "the letter",
              rn_world_check_same(&err, world, "the letter", own, 1));
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_grid *grid = NULL;
  /* Disables direct copies from the memory of another process. A large message then arrives only
   * while its sender is in an MPI call, as it would between nodes. */
  setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
  setenv("OMPI_MCA_smsc", "^cma,knem,xpmem", 0);
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  const int size = rn_world_size(world), rank = rn_world_rank(world);
  CHECK_FAILS(&err, RN_ERR_USAGE, "grid", rn_grid_create(&err, world, 2, 1, size, &grid));
  const int data = size % 2 == 0 ? 2 : 1;
  if (CHECK_OK(&err, rn_grid_create(&err, world, data, 1, size / data, &grid))) {
    CHECK_EQUAL(rn_grid_data(grid) * (size / data) + rn_grid_sequence(grid), rank);
    CHECK_EQUAL(rn_grid_replica(grid), rank);
    for (int node_ranks = -1; node_ranks <= 5; node_ranks++) {
      sums_are_right(world, grid, RN_REDUCE_FLOAT, node_ranks, 20011);
      sums_are_right(world, grid, RN_REDUCE_EXACT, node_ranks, 1000);
    }
    gradients_stay_until_all_have_read(world, grid, 0);
    gradients_stay_until_all_have_read(world, grid, 3);
    a_late_rank_blocks_nobody(world, grid, 0);
    a_late_rank_blocks_nobody(world, grid, 2);
    a_late_rank_blocks_nobody(world, grid, 3);
    a_waiting_rank_delivers_its_messages(world, grid, 0);
    a_waiting_rank_delivers_its_messages(world, grid, 3);
    a_rank_without_memory_is_known_to_all(world, grid);
    if (size == 1) a_single_replica_sends_nothing(grid);
    gathered_doubles_have_the_bits_of_their_owners(grid, rank, size);
    double numbers[2] = {value(rank, 0), 1}, want = 0;
    for (int r = 0; r < size; r++) want += value(r, 0);
    CHECK_OK(&err, rn_sum_doubles(&err, grid, numbers, 2));
    CHECK(numbers[0] == want && numbers[1] == size);
    a_failure_on_one_rank_is_known_to_all(world, rank, size);
  }
  int64_t failed = check_failures();
  CHECK_OK(&err, rn_world_max(&err, world, &failed, 1));
  const int result = check_result();
  rn_grid_destroy(&grid);
  return rn_world_finish(&world, RN_OK, &err) + (failed > 0 ? 1 : result);
}
