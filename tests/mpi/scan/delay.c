/*
 * Checks that the fault site scan.message delays messages at the receiver, not at the sender. With
 * a delay of one hour, the first rank completes its scan; the second receives its messages, but its
 * scan does not use them yet; the third receives none. When the fault is cleared, all states are
 * correct.
 */
#include <stdlib.h>

#include "comm/scan/scan.h"
#include "proto/base/fault.h"
#include "tests/support/check.h"
#include "tests/support/world.h"

enum { HEADS = 3, MATRIX = 5, TOTAL = HEADS * MATRIX, SCANS = 4 };

static rn_err err;
static const double decay[HEADS] = {0, 0, 0};

static void one_scan(rn_world *world, rn_scan_port *port, rn_scan_direction direction) {
  const int rank = rn_world_rank(world), size = rn_world_size(world);
  const int position = direction == RN_SCAN_FORWARD ? rank : size - 1 - rank;
  float own[TOTAL], before[TOTAL];
  const rn_scan_element element = {HEADS, MATRIX, decay, own};
  for (int i = 0; i < TOTAL; i++) own[i] = 1;
  setenv("RETNET_FAULT",
         direction == RN_SCAN_FORWARD ? "scan.message:1-:late=3600000"
                                      : "scan.message:1-:late=3600001",
         1);
  CHECK_OK(&err, port->begin(port->self, &err, direction, 0, element));
  if (position == 0) CHECK_OK(&err, port->end(port->self, &err, before));
  while (position == 1 && rn_fault_passes() < HEADS) port->poll(port->self);
  for (int i = 0; i < 100; i++) port->poll(port->self);
  CHECK(port->test(port->self) == (position == 0));
  if (position != 1) CHECK_EQUAL(rn_fault_passes(), 0);
  CHECK_OK(&err, rn_world_barrier(&err, world));
  unsetenv("RETNET_FAULT");
  if (position > 0) CHECK_OK(&err, port->end(port->self, &err, before));
  for (int i = 0; i < TOTAL; i++) CHECK(before[i] == (float)position);
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_grid *grid = NULL;
  rn_scan *scan = NULL;
  const rn_scan_shape shape = {HEADS, MATRIX, 1, 1, 0, false};
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  CHECK_OK(&err, rn_grid_create(&err, world, 1, 1, rn_world_size(world), &grid));
  setenv("RETNET_FAULT", "scan.message:1-:late=1", 1);
  CHECK_OK(&err, rn_scan_create(&err, grid, RN_SCAN_PIPELINED, shape, &scan));
  for (int i = 0; i < SCANS; i++) {
    /* one_scan() sets a different fault for each direction. Because directions alternate, each scan
     * sets a new fault, which restarts the count of passes. */
    one_scan(world, rn_scan_port_of(scan), i % 2 == 0 ? RN_SCAN_FORWARD : RN_SCAN_REVERSE);
  }
  rn_scan_destroy(&scan);
  rn_grid_destroy(&grid);
  return test_finish_world(&err, &world);
}
