/* Checks that destroying a scan whose messages never complete, because another rank has failed,
 * ends soon instead of waiting forever. */
#include "comm/scan/scan.h"
#include "comm/world/grid.h"
#include "tests/support/check.h"

/* A state of 512 KiB: MPI completes the send of such a message only when it is received. */
enum { HEADS = 2, MATRIX = 65536, TOTAL = HEADS * MATRIX };

static rn_err err;
static float own[TOTAL], got[TOTAL];
static const double decay[HEADS] = {0, 0};
static const rn_scan_element element = {HEADS, MATRIX, decay, own};

static rn_scan *create(const rn_grid *grid, rn_scan_algorithm algorithm) {
  const rn_scan_shape shape = {HEADS, MATRIX, 1, 1, 0, algorithm == RN_SCAN_ORDERED};
  rn_scan *scan = NULL;
  CHECK_OK(&err, rn_scan_create(&err, grid, algorithm, shape, &scan));
  return scan;
}

/* Rank 1 waits for a state that rank 0 never sends. */
static void a_receive(const rn_grid *grid, rn_scan_algorithm algorithm, int rank) {
  rn_scan *scan = create(grid, algorithm);
  if (scan == NULL) return;
  rn_scan_port *port = rn_scan_port_of(scan);
  if (rank == 1) CHECK_OK(&err, port->begin(port->self, &err, RN_SCAN_FORWARD, 0, element));
  rn_scan_destroy(&scan);
}

/* Rank 0 sends a state that rank 1 never receives. */
static void a_send(const rn_grid *grid, rn_scan_algorithm algorithm, int rank) {
  rn_scan *scan = create(grid, algorithm);
  if (scan == NULL) return;
  rn_scan_port *port = rn_scan_port_of(scan);
  if (rank == 0) {
    CHECK_OK(&err, port->begin(port->self, &err, RN_SCAN_FORWARD, 0, element));
    CHECK_OK(&err, port->end(port->self, &err, got));
    if (algorithm == RN_SCAN_ORDERED) CHECK_OK(&err, port->publish(port->self, &err, own));
  }
  rn_scan_destroy(&scan);
}

int main(int argc, char **argv) {
  static const rn_scan_algorithm algorithms[] = {RN_SCAN_PIPELINED, RN_SCAN_ORDERED};
  rn_world *world = NULL;
  rn_grid *grid = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  const int size = rn_world_size(world), rank = rn_world_rank(world);
  CHECK_OK(&err, rn_grid_create(&err, world, 1, 1, size, &grid));
  for (int a = 0; a < 2; a++) {
    a_receive(grid, algorithms[a], rank);
    a_send(grid, algorithms[a], rank);
  }
  int64_t failed = check_failures();
  CHECK_OK(&err, rn_world_max(&err, world, &failed, 1));
  const int result = check_result();
  rn_grid_destroy(&grid);
  return rn_world_finish(&world, RN_OK, &err) + (failed > 0 ? 1 : result);
}
