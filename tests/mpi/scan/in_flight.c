/*
 * Checks that a state is not overwritten while it is being sent, although many scans follow each
 * other and a receiver is late. States are much larger than the messages that MPI buffers.
 *
 * The late rank changes from round to round. Results must not depend on the delay.
 */
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "comm/scan/scan.h"
#include "comm/scan/wraparound_send.h"
#include "comm/world/grid.h"
#include "tests/support/check.h"

/* A state of 512 KiB. MPI sends messages above 4 to 64 KiB directly from the sender's buffer. */
enum { HEADS = 2, MATRIX = 65536, TOTAL = HEADS * MATRIX, SCANS = 6, LAYERS = 2 };

static rn_err err;
static float own[TOTAL], got[TOTAL];

static void delay_rank(int rank, int round, int size) {
  if (rank == round % size) nanosleep(&(struct timespec){.tv_nsec = 40000000}, NULL);
}

/* Returns the contribution of a rank to a scan: a small integer, so that sums are exact. */
static float contribution(int scan, int rank, int64_t i) {
  return (float)((i * 7 + scan * 31 + rank * 5) % 13);
}

static int64_t count_wrong(const float *values, int scan, int from, int to) {
  int64_t wrong = 0;
  for (int64_t i = 0; i < TOTAL; i++) {
    float want = 0;
    for (int r = from; r < to; r++) want += contribution(scan, r, i);
    wrong += values[i] != want;
  }
  return wrong;
}

/* The ranks that precede this one in the direction of the scan are [first_before, last_before). */
static int first_before(rn_scan_direction d, int rank) {
  return d == RN_SCAN_FORWARD ? 0 : rank + 1;
}
static int last_before(rn_scan_direction d, int rank, int size) {
  return d == RN_SCAN_FORWARD ? rank : size;
}

static void states_of_a_scan_stay(const rn_grid *grid, rn_scan_algorithm algorithm, int rank,
                                  int size) {
  static const double decay[HEADS] = {0, 0};
  const rn_scan_element element = {HEADS, MATRIX, decay, own};
  rn_scan *scan = NULL;
  const rn_scan_shape shape = {HEADS, MATRIX, LAYERS, 1, 0, false};
  if (!CHECK_OK(&err, rn_scan_create(&err, grid, algorithm, shape, &scan))) return;
  rn_scan_port *port = rn_scan_port_of(scan);
  for (int round = 0; round < 2 * size; round++) {
    const rn_scan_direction d = round < size ? RN_SCAN_FORWARD : RN_SCAN_REVERSE;
    delay_rank(rank, round, size);
    for (int index = 0; index < SCANS; index++) {
      for (int64_t i = 0; i < TOTAL; i++) own[i] = contribution(index, rank, i);
      CHECK_OK(&err, port->begin(port->self, &err, d, index % LAYERS, element));
      CHECK_OK(&err, port->end(port->self, &err, got));
      CHECK_EQUAL(count_wrong(got, index, first_before(d, rank), last_before(d, rank, size)), 0);
    }
  }
  rn_scan_destroy(&scan);
}

static void states_of_the_ordered_scan_stay(const rn_grid *grid, int rank, int size) {
  static float after[TOTAL];
  static const double decay[HEADS] = {0, 0};
  const rn_scan_element element = {HEADS, MATRIX, decay, own};
  const rn_scan_shape shape = {HEADS, MATRIX, LAYERS, 1, 0, true};
  rn_scan *scan = NULL;
  if (!CHECK_OK(&err, rn_scan_create(&err, grid, RN_SCAN_ORDERED, shape, &scan))) return;
  rn_scan_port *port = rn_scan_port_of(scan);
  for (int round = 0; round < 2 * size; round++) {
    const rn_scan_direction d = round < size ? RN_SCAN_FORWARD : RN_SCAN_REVERSE;
    delay_rank(rank, round, size);
    for (int index = 0; index < SCANS; index++) {
      CHECK_OK(&err, port->begin(port->self, &err, d, 0, element));
      CHECK_OK(&err, port->end(port->self, &err, got));
      CHECK_EQUAL(count_wrong(got, index, first_before(d, rank), last_before(d, rank, size)), 0);
      for (int64_t i = 0; i < TOTAL; i++) after[i] = got[i] + contribution(index, rank, i);
      CHECK_OK(&err, port->publish(port->self, &err, after));
      for (int64_t i = 0; i < TOTAL; i++) after[i] = NAN; /* allowed once publish() has returned */
    }
  }
  rn_scan_destroy(&scan);
}

/* Checks the state that the last rank sends to the first one. The last rank overwrites the memory
 * of the state as soon as rn_wraparound_send() has returned. */
static void a_wraparound_state_stays(const rn_grid *grid, int rank, int size) {
  for (int round = 0; round < size; round++) {
    delay_rank(rank, round, size);
    for (int index = 0; index < SCANS; index++) {
      for (int64_t i = 0; i < TOTAL; i++) own[i] = contribution(index, rank, i);
      CHECK_OK(&err, rn_wraparound_send(&err, grid, TOTAL, own, got));
      for (int64_t i = 0; i < TOTAL; i++) own[i] = NAN;
      if (rank == 0) CHECK_EQUAL(count_wrong(got, index, size - 1, size), 0);
    }
  }
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_grid *grid = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  const int size = rn_world_size(world), rank = rn_world_rank(world);
  CHECK_OK(&err, rn_grid_create(&err, world, 1, 1, size, &grid));
  for (int a = RN_SCAN_PIPELINED; a <= RN_SCAN_EXSCAN; a++) {
    states_of_a_scan_stay(grid, (rn_scan_algorithm)a, rank, size);
  }
  states_of_the_ordered_scan_stay(grid, rank, size);
  a_wraparound_state_stays(grid, rank, size);
  int64_t failed = check_failures();
  CHECK_OK(&err, rn_world_max(&err, world, &failed, 1));
  const int result = check_result();
  rn_grid_destroy(&grid);
  return rn_world_finish(&world, RN_OK, &err) + (failed > 0 ? 1 : result);
}
