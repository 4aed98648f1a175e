/*
 * Checks that a communication thread without a core of its own forwards states while ranks compute
 * and never poll. The last rank gets its state before any other rank calls MPI again; the other
 * ranks then find that their own states have arrived. Without the thread, this test would not end.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "comm/scan/scan.h"
#include "comm/world/grid.h"
#include "tests/support/check.h"

/* States of 1.6 MB. MPI completes so large a send only while the receiver makes MPI calls. */
enum { HEADS = 2, MATRIX = 200000, COUNT = HEADS * MATRIX, LAYERS = 6 };

static rn_err err;
static float own[COUNT], before[COUNT];
static atomic_int *ended; /* shared by all ranks: number of scans completed on their last rank */

/* Maps a file that all ranks share, so that they can wait for each other without MPI. */
static bool map_counter(rn_world *world) {
  char path[] = "/tmp/rn_scan_progress_XXXXXX";
  int file = -1;
  if (rn_world_rank(world) == 0) {
    file = mkstemp(path);
    CHECK_EQUAL(ftruncate(file, sizeof *ended), 0);
  }
  CHECK_OK(&err, rn_world_broadcast(&err, world, path, sizeof path));
  if (file < 0) file = open(path, O_RDWR);
  ended = mmap(NULL, sizeof *ended, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  CHECK_OK(&err, rn_world_barrier(&err, world));
  if (rn_world_rank(world) == 0) unlink(path);
  return CHECK(ended != MAP_FAILED);
}

/* Simulates work without polls. Returns when the last rank has completed `scans` scans. */
static void compute(int scans) {
  while (atomic_load(ended) < scans) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

/* Waits up to 10 s until the thread has received this rank's state; returns whether it has. */
static bool arrives(const rn_scan_port *port) {
  for (int i = 0; i < 10000 && !port->test(port->self); i++) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  return port->test(port->self);
}

static void one_scan(rn_scan *scan, rn_comm_thread *thread, int number, int position, int size) {
  static const double log_decay[HEADS] = {0, 0};
  const rn_scan_direction direction = number % 2 == 0 ? RN_SCAN_FORWARD : RN_SCAN_REVERSE;
  rn_scan_port *port = rn_scan_port_of(scan);
  if (direction == RN_SCAN_REVERSE) position = size - 1 - position;
  for (int i = 0; i < COUNT; i++) own[i] = (float)(number + 1);
  rn_comm_thread_release(thread);
  CHECK_OK(&err, port->begin(port->self, &err, direction, number % LAYERS,
                             (rn_scan_element){HEADS, MATRIX, log_decay, own}));
  if (position < size - 1) {
    compute(number + 1);
    CHECK(arrives(port));
  }
  CHECK_OK(&err, port->end(port->self, &err, before));
  if (position == size - 1) atomic_fetch_add(ended, 1);
  (void)rn_comm_thread_acquire(thread);
  int64_t wrong = 0;
  for (int i = 0; i < COUNT; i++) wrong += before[i] != (float)(position * (number + 1));
  CHECK_EQUAL(wrong, 0);
}

static void states_pass_through_ranks_that_compute(const rn_world *world, const rn_grid *grid) {
  const rn_scan_shape shape = {.heads = HEADS, .matrix = MATRIX, .layers = LAYERS, .segments = 1};
  rn_comm_thread *thread = NULL;
  rn_scan *scan = NULL;
  CHECK_OK(&err, rn_scan_create(&err, grid, RN_SCAN_PIPELINED, shape, &scan));
  CHECK_OK(&err, rn_comm_thread_start(&err, world, RN_COMM_THREAD_PERIODIC, &thread));
  if (check_failures() > 0) return;
  rn_scan_use_thread(scan, thread);
  for (int i = 0; i < LAYERS; i++) {
    one_scan(scan, thread, i, rn_world_rank(world), rn_world_size(world));
  }
  rn_comm_thread_stop(&thread);
  rn_scan_destroy(&scan);
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_grid *grid = NULL;
  rn_status status = rn_world_start_serialized(&err, &argc, &argv, &world);
  if (status == RN_OK) status = rn_grid_create(&err, world, 1, 1, rn_world_size(world), &grid);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  if (map_counter(world)) states_pass_through_ranks_that_compute(world, grid);
  int64_t failed = check_failures();
  CHECK_OK(&err, rn_world_max(&err, world, &failed, 1));
  const int result = check_result();
  rn_grid_destroy(&grid);
  return rn_world_finish(&world, RN_OK, &err) + (failed > 0 ? 1 : result);
}
