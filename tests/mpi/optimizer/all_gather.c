/*
 * Checks the all-gather of the distributed optimizer, for any grouping of ranks into nodes: after
 * each round every rank can read every shard, all ranks of a node share one copy, and buckets
 * complete in order. If there is too little shared memory, the error names the host.
 */
#include "comm/optimizer/all_gather.h"

#include <stdlib.h>
#include <string.h>

#include "comm/optimizer/shared_array.h"
#include "tests/support/check.h"
#include "tests/support/world.h"

enum { BUCKETS = 3, ROUNDS = 4 };

static rn_err err;

/* Returns buckets and shards of unequal size. Some are empty, and some shards need several
 * messages. */
static rn_optimizer_shards make_shards(int replicas, int64_t total) {
  rn_optimizer_shards s = {BUCKETS, replicas,
                           calloc((size_t)BUCKETS * ((size_t)replicas + 1), sizeof(int64_t))};
  for (int p = 0; p < BUCKETS; p++) {
    const rn_range bucket = {total * p * p / 9, total * (p + 1) * (p + 1) / 9};
    for (int r = 0; r <= replicas; r++) {
      const int64_t cut = rn_range_count(bucket) * r * (p + 1) / (replicas * 3) / 3 * 3;
      s.edge[p * (replicas + 1) + r] =
          bucket.begin + (r == replicas ? rn_range_count(bucket) : cut);
    }
  }
  return s;
}

static float value(int round, int64_t index) {
  return (float)(index % 1000003) + (float)round / 8;
}

static void write_own(const rn_optimizer_shards *shards, int replica, int round, float *values) {
  for (int p = 0; p < BUCKETS; p++) {
    const rn_range own = rn_optimizer_shards_of(shards, p, replica);
    for (int64_t i = own.begin; i < own.end; i++) values[i] = value(round, i);
  }
}

static int64_t wrong_in(rn_range range, int round, const float *values) {
  int64_t wrong = 0;
  for (int64_t i = range.begin; i < range.end; i++) wrong += values[i] != value(round, i);
  return wrong;
}

/* Checks that what a rank writes is visible to the ranks of its node, and not to ranks of other
 * nodes. */
static void a_node_holds_one_copy(const rn_world *world, const rn_node *node) {
  rn_shared_array *shared = NULL;
  if (!CHECK_OK(&err,
                rn_shared_array_create(&err, world, node, "numbers", 1000 * sizeof(int), &shared)))
    return;
  int *marks = rn_shared_array_memory(shared);
  CHECK_EQUAL((uintptr_t)marks % 64, 0);
  CHECK_EQUAL(marks[rn_node_index(node)], 0);
  MPI_Barrier(rn_node_comm(node));
  marks[rn_node_index(node)] = 1 + rn_world_rank(world);
  MPI_Barrier(rn_node_comm(node));
  int ranks = 0, seen = 0;
  for (int i = 0; i < 1000; i++) seen += marks[i] != 0;
  MPI_Comm_size(rn_node_comm(node), &ranks);
  CHECK_EQUAL(seen, ranks);
  CHECK_EQUAL(ranks, rn_node_size(node));
  rn_shared_array_destroy(&shared);
}

static void all_have_every_shard(const rn_world *world, const rn_grid *grid, const rn_node *node,
                                 int64_t total) {
  rn_optimizer_shards shards = make_shards(rn_grid_replica_size(grid), total);
  const int replica = rn_grid_replica(grid);
  rn_shared_array *shared = NULL;
  rn_all_gather *all_gather = NULL;
  const size_t bytes = (size_t)total * sizeof(float);
  CHECK_OK(&err, rn_shared_array_create(&err, world, node, "values", bytes, &shared));
  float *values = rn_shared_array_memory(shared);
  CHECK_OK(&err, rn_all_gather_create(&err, node, &shards, values, sizeof *values, &all_gather));
  for (int round = 0; round < ROUNDS; round++) {
    write_own(&shards, replica, round, values);
    CHECK_OK(&err, rn_all_gather_start(&err, all_gather));
    for (int p = 0; p < BUCKETS && round % 2 == 0; p++) {
      CHECK_OK(&err, rn_all_gather_wait(&err, all_gather, p));
      CHECK_EQUAL(wrong_in(rn_optimizer_shards_bucket(&shards, p), round, values), 0);
    }
    CHECK_OK(&err, rn_all_gather_finish(&err, all_gather));
    CHECK_EQUAL(wrong_in((rn_range){0, total}, round, values), 0);
    /* Waits until no rank reads the values any more, as a training step does. */
    MPI_Barrier(rn_grid_replica_comm(grid));
  }
  rn_all_gather_destroy(&all_gather);
  rn_shared_array_destroy(&shared);
  free(shards.edge);
}

static void nodes_have_the_requested_size(const rn_grid *grid, const rn_node *node, int max_size) {
  const int replicas = rn_grid_replica_size(grid), own = rn_node_of(node, rn_grid_replica(grid));
  int same_node = 0;
  for (int r = 0; r < replicas; r++) same_node += rn_node_of(node, r) == own;
  CHECK_EQUAL(same_node, rn_node_size(node));
  CHECK_EQUAL(rn_node_count(node), max_size == 0 ? 1 : (replicas + max_size - 1) / max_size);
  CHECK_EQUAL(rn_node_largest(node), max_size == 0 || max_size > replicas ? replicas : max_size);
}

static void walk_nodes(rn_world *world, int pipeline) {
  const int size = rn_world_size(world);
  rn_grid *grid = NULL;
  if (!CHECK_OK(&err, rn_grid_create(&err, world, size / pipeline, pipeline, 1, &grid))) return;
  for (int max_size = 0; max_size <= 4; max_size++) {
    rn_node *node = NULL;
    if (!CHECK_OK(&err, rn_node_create(&err, world, grid, max_size, &node))) continue;
    nodes_have_the_requested_size(grid, node, max_size);
    a_node_holds_one_copy(world, node);
    all_have_every_shard(world, grid, node, 7);
    all_have_every_shard(world, grid, node, 100003);
    if (max_size == 2) all_have_every_shard(world, grid, node, 9 << 20);
    const bool shards = rn_node_largest(node) > 1;
    CHECK_OK(&err, rn_shared_array_check_space(&err, world, node, 1000));
    const rn_status space = rn_shared_array_check_space(&err, world, node, (size_t)1 << 60);
    if (shards) CHECK_FAILS(&err, RN_ERR_MEMORY, "/dev/shm", space);
    if (!shards) CHECK_OK(&err, space);
    rn_node_destroy(&node);
  }
  rn_grid_destroy(&grid);
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  walk_nodes(world, 1);
  if (rn_world_size(world) % 2 == 0) walk_nodes(world, 2);
  return test_finish_world(&err, &world);
}
