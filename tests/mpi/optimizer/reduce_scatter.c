/* Sums over replicas are in rank order, bit for bit, for any order in which buckets start. */
#include <stdlib.h>

#include "comm/optimizer/reduce_scatter.h"
#include "proto/base/random.h"
#include "proto/base/range.h"
#include "tests/support/check.h"

enum { BUCKETS = 7 };

static rn_err err;

static float value(int rank, int64_t index) {
  uint64_t word = (uint64_t)rank;
  return (float)rn_random_normal(rn_random_key_make(RN_RANDOM_TEST, &word, 1), (uint64_t)index);
}

static float sum_in_order(int size, int64_t index) {
  float sum = value(0, index);
  for (int r = 1; r < size; r++) sum += value(r, index);
  return sum;
}

/* Uneven buckets and shards, some of them empty. */
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

/* Two rounds, in which buckets start in opposite orders. */
static void sum_twice(rn_reduce_scatter *reduce_scatter, const rn_optimizer_shards *shares,
                      const void *gradient, size_t bytes_each) {
  for (int round = 0; round < 2; round++) {
    for (int b = 0; b < BUCKETS; b++) {
      const int bucket = round == 0 ? BUCKETS - 1 - b : b;
      const int64_t begin = rn_optimizer_shards_bucket(shares, bucket).begin;
      CHECK_OK(&err, rn_reduce_scatter_start(&err, reduce_scatter, bucket,
                                             (const char *)gradient + (size_t)begin * bytes_each));
    }
    CHECK_OK(&err, rn_reduce_scatter_finish(&err, reduce_scatter));
  }
}

static void sums_are_in_rank_order(const rn_grid *grid, int rank, int size, int64_t total) {
  rn_optimizer_shards shards = make_shards(size, total);
  rn_reduce_scatter *reduce_scatter = NULL;
  float *gradient = calloc((size_t)total, sizeof *gradient);
  float *own = calloc((size_t)total, sizeof *own);
  int64_t at = 0, wrong = 0;
  for (int64_t i = 0; i < total; i++) gradient[i] = value(rank, i);
  CHECK_OK(&err,
           rn_reduce_scatter_create(&err, grid, &shards, (rn_reduce_operands){RN_REDUCE_FLOAT, own},
                                    &reduce_scatter));
  sum_twice(reduce_scatter, &shards, gradient, sizeof *gradient);
  for (int b = 0; b < BUCKETS; b++) {
    const rn_range mine = rn_optimizer_shards_of(&shards, b, rank);
    for (int64_t i = mine.begin; i < mine.end; i++) wrong += own[at++] != sum_in_order(size, i);
  }
  CHECK_EQUAL(wrong, 0);
  rn_reduce_scatter_destroy(&reduce_scatter);
  free(shards.edge);
  free(gradient);
  free(own);
}

static void exact_sums_are_of_all_ranks(const rn_grid *grid, int rank, int size, int64_t total) {
  rn_optimizer_shards shards = make_shards(size, total);
  rn_reduce_scatter *reduce_scatter = NULL;
  int64_t *gradient = calloc((size_t)total, sizeof *gradient);
  int64_t *own = calloc((size_t)total, sizeof *own);
  int64_t at = 0, wrong = 0;
  for (int64_t i = 0; i < total; i++) gradient[i] = ((int64_t)1 << 52) * (rank + 1) + i;
  CHECK_OK(&err,
           rn_reduce_scatter_create(&err, grid, &shards, (rn_reduce_operands){RN_REDUCE_EXACT, own},
                                    &reduce_scatter));
  sum_twice(reduce_scatter, &shards, gradient, sizeof *gradient);
  for (int b = 0; b < BUCKETS; b++) {
    const rn_range mine = rn_optimizer_shards_of(&shards, b, rank);
    for (int64_t i = mine.begin; i < mine.end; i++) {
      wrong += own[at++] != ((int64_t)1 << 52) * size * (size + 1) / 2 + size * i;
    }
  }
  CHECK_EQUAL(wrong, 0);
  rn_reduce_scatter_destroy(&reduce_scatter);
  free(shards.edge);
  free(gradient);
  free(own);
}

/* With a single replica, the sum is the gradient itself, in place. */
static void a_single_replica_sends_nothing(const rn_grid *grid) {
  rn_optimizer_shards shards = make_shards(1, 1000);
  rn_reduce_scatter *reduce_scatter = NULL;
  float gradient[1000];
  for (int i = 0; i < 1000; i++) gradient[i] = (float)i;
  CHECK_OK(&err,
           rn_reduce_scatter_create(&err, grid, &shards,
                                    (rn_reduce_operands){RN_REDUCE_FLOAT, NULL}, &reduce_scatter));
  sum_twice(reduce_scatter, &shards, gradient, sizeof *gradient);
  for (int i = 0; i < 1000; i++) CHECK(gradient[i] == (float)i);
  rn_reduce_scatter_destroy(&reduce_scatter);
  free(shards.edge);
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
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  const int size = rn_world_size(world), rank = rn_world_rank(world);
  CHECK_FAILS(&err, RN_ERR_USAGE, "grid", rn_grid_create(&err, world, 2, 1, size, &grid));
  const int data = size % 2 == 0 ? 2 : 1;
  if (CHECK_OK(&err, rn_grid_create(&err, world, data, 1, size / data, &grid))) {
    CHECK_EQUAL(rn_grid_data(grid) * (size / data) + rn_grid_sequence(grid), rank);
    CHECK_EQUAL(rn_grid_replica(grid), rank);
    sums_are_in_rank_order(grid, rank, size, 1000);
    sums_are_in_rank_order(grid, rank, size, 200003);
    exact_sums_are_of_all_ranks(grid, rank, size, 200003);
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
