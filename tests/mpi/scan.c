/* Every algorithm of the scan gives what one rank computes piece by piece, in both directions. */
#include <math.h>
#include <stdlib.h>

#include "comm/chain.h"
#include "comm/grid.h"
#include "proto/random.h"
#include "tests/support/check.h"

static rn_err err;

static double number(int scan, int rank, int64_t index) {
  uint64_t words[2] = {(uint64_t)scan, (uint64_t)rank};
  return 2 * rn_random_uniform(rn_random_key_make(RN_RANDOM_TEST, words, 2), (uint64_t)index) - 1;
}

/* Unequal factors, a document boundary here and there. */
static double log_decay(int scan, int rank, int head) {
  if ((scan + rank + head) % 5 == 0) return -INFINITY;
  return -0.3 * (1 + number(scan, rank, 1000000 + head));
}

static void serial(int scan, rn_scan_direction direction, int size, int rank, int n, int64_t m,
                   float *before) {
  for (int h = 0; h < n; h++) {
    for (int64_t e = 0; e < m; e++) {
      double state = 0;
      for (int step = 0; step < size; step++) {
        const int r = direction == RN_SCAN_FORWARD ? step : size - 1 - step;
        if (r == rank) break;
        state = exp(log_decay(scan, r, h)) * state + number(scan, r, h * m + e);
      }
      before[h * m + e] = (float)state;
    }
  }
}

static void one_scan(rn_chain *chain, int scan, int size, int rank, int n, int64_t m) {
  const size_t count = (size_t)(n * m);
  double *decay = calloc((size_t)n, sizeof *decay);
  float *own = calloc(count, sizeof *own), *got = calloc(count, sizeof *got),
        *want = calloc(count, sizeof *want);
  rn_scan_direction direction = scan % 2 == 0 ? RN_SCAN_FORWARD : RN_SCAN_REVERSE;
  rn_scan_port *port = rn_chain_port(chain);
  for (int h = 0; h < n; h++) decay[h] = log_decay(scan, rank, h);
  for (int64_t i = 0; i < n * m; i++) own[i] = (float)number(scan, rank, i);
  CHECK_OK(&err, port->begin(port->self, &err, direction, 0, n, m, decay, own));
  for (int i = 0; i < scan; i++) port->poll(port->self);
  CHECK_OK(&err, port->end(port->self, &err, got));
  serial(scan, direction, size, rank, n, m, want);
  double scale = 0;
  for (int64_t i = 0; i < n * m; i++) scale = fmax(scale, fabs((double)want[i]));
  if (scale > 0) {
    CHECK_ARRAY("before", got, want, n * m, 1e-6);
  } else {
    for (int64_t i = 0; i < n * m; i++) CHECK(got[i] == 0);
  }
  free(decay);
  free(own);
  free(got);
  free(want);
}

/* All decays reset: nothing crosses a boundary, not even what is no number, whenever it arrives. */
static void a_reset_stops_everything(rn_chain *chain, rn_scan_algorithm algorithm, int size,
                                     int rank, int polls) {
  enum { N = 3, M = 9001 };
  static float own[N * M], got[N * M];
  double decay[N];
  rn_scan_port *port = rn_chain_port(chain);
  for (int h = 0; h < N; h++) decay[h] = -INFINITY;
  for (int i = 0; i < N * M; i++) own[i] = rank == 0 ? (i % 2 ? NAN : INFINITY) : (float)rank;
  const int64_t sent = rn_chain_bytes_sent(chain);
  CHECK_OK(&err, port->begin(port->self, &err, RN_SCAN_FORWARD, 0, N, M, decay, own));
  if (algorithm == RN_SCAN_CHAIN && rank < size - 1) {
    CHECK_EQUAL(rn_chain_bytes_sent(chain) - sent, sizeof own);
  }
  for (int i = 0; i < polls; i++) port->poll(port->self);
  CHECK_OK(&err, port->end(port->self, &err, got));
  int wrong = 0;
  for (int i = 0; rank != 1 && i < N * M; i++) wrong += got[i] != (float)(rank == 0 ? 0 : rank - 1);
  CHECK_EQUAL(wrong, 0);
}

static void a_state_too_large_for_a_message_is_refused(const rn_grid *grid) {
  rn_chain *chain = NULL;
  const int64_t large = (int64_t)1 << 31;
  CHECK_FAILS(&err, RN_ERR_USAGE, "doubling|chain",
              rn_chain_create(&err, grid, RN_SCAN_DOUBLING, 2, large / 2, &chain));
  CHECK_FAILS(&err, RN_ERR_USAGE, "exscan|chain",
              rn_chain_create(&err, grid, RN_SCAN_EXSCAN, 1, large / 4, &chain));
  CHECK(chain == NULL);
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_grid *grid = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  const int size = rn_world_size(world), rank = rn_world_rank(world);
  CHECK_OK(&err, rn_grid_create(&err, world, 1, 1, size, &grid));
  for (int algorithm = RN_SCAN_CHAIN; algorithm <= RN_SCAN_EXSCAN; algorithm++) {
    rn_chain *chain = NULL;
    CHECK_OK(&err, rn_chain_create(&err, grid, (rn_scan_algorithm)algorithm, 7, 20011, &chain));
    for (int scan = 0; scan < 6; scan++) one_scan(chain, scan, size, rank, 3, 35);
    for (int scan = 6; scan < 8; scan++) one_scan(chain, scan, size, rank, 7, 20011);
    for (int i = 0; i < 4; i++) {
      a_reset_stops_everything(chain, (rn_scan_algorithm)algorithm, size, rank, 20 * i);
    }
    CHECK(size == 1 || rn_chain_bytes_sent(chain) > 0);
    rn_chain_destroy(&chain);
  }
  a_state_too_large_for_a_message_is_refused(grid);
  int64_t failed = check_failures();
  CHECK_OK(&err, rn_world_max(&err, world, &failed, 1));
  const int result = check_result();
  rn_grid_destroy(&grid);
  return rn_world_finish(&world, RN_OK, &err) + (failed > 0 ? 1 : result);
}
