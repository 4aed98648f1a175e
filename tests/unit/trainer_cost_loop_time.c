/* Checks the simulated time of a loop: threads take tasks in order, tasks wait for the groups
 * that they depend on, and the time is between the bounds that hold for any schedule. */
#include "trainer/cost/loop_time.h"

#include <math.h>

#include "tests/support/check.h"

static rn_loop_time loop;

static void threads_share_equal_tasks(void) {
  for (int threads = 1; threads <= 9; threads++) {
    rn_loop_time_start(&loop, threads);
    for (int i = 0; i < 20; i++) rn_loop_time_add(&loop, 2, -1, -1);
    CHECK_NEAR(rn_loop_time_end(&loop), 2 * ceil(20.0 / threads), 1e-12);
    CHECK_NEAR(loop.work_s, 40, 1e-12);
    rn_loop_time_start(&loop, threads);
    rn_loop_time_add_static(&loop, 20, 2);
    CHECK_NEAR(rn_loop_time_end(&loop), 2 * ceil(20.0 / threads), 1e-12);
    CHECK(loop.tasks == 20 && loop.longest_s == 2);
  }
}

/* Runs tasks of 3, 1, 1, 1 and 4 s on two threads. The second thread takes the three short tasks;
 * at 3 s both threads are free, and one takes the last task. */
static void the_first_free_thread_takes_the_next_task(void) {
  static const double tasks[] = {3, 1, 1, 1, 4};
  rn_loop_time_start(&loop, 2);
  for (int i = 0; i < 5; i++) rn_loop_time_add(&loop, tasks[i], -1, -1);
  CHECK_NEAR(rn_loop_time_end(&loop), 7, 1e-12);
  CHECK(loop.tasks == 5 && loop.longest_s == 4);
}

/* The 4 pieces of the sum of a tile must be added in order, so that 3 tiles can use at most 3
 * threads. */
static void tasks_wait_for_their_group(void) {
  enum { TILES = 3, PIECES = 4 };
  for (int threads = 1; threads <= 16; threads++) {
    rn_loop_time_start(&loop, threads);
    for (int piece = 0; piece < PIECES; piece++) {
      for (int tile = 0; tile < TILES; tile++) rn_loop_time_add(&loop, 1, tile, tile);
    }
    const double want = threads >= TILES ? PIECES : ceil((double)TILES * PIECES / threads);
    CHECK_NEAR(rn_loop_time_end(&loop), want, 1e-12);
  }
}

/* Checks tasks of irregular lengths: no schedule is shorter than the mean work per thread or the
 * longest task, and a schedule in order is longer than the mean by at most one task. */
static void times_are_between_their_bounds(void) {
  for (int threads = 1; threads <= 64; threads += 7) {
    rn_loop_time_start(&loop, threads);
    for (int i = 0; i < 200; i++) rn_loop_time_add(&loop, 1 + i * 37 % 11, -1, -1);
    const double mean_s = loop.work_s / threads, end_s = rn_loop_time_end(&loop);
    CHECK(end_s >= fmax(mean_s, loop.longest_s) - 1e-9);
    CHECK(end_s <= mean_s + loop.longest_s);
  }
}

int main(void) {
  threads_share_equal_tasks();
  the_first_free_thread_takes_the_next_task();
  tasks_wait_for_their_group();
  times_are_between_their_bounds();
  return check_result();
}
