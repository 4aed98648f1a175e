/* Checks the functions that wait for work on rank 0 or on all ranks. While ranks wait for rank 0,
 * they count progress units only if the work on rank 0 counts them. If the work on rank 0 fails,
 * the wait returns the error on rank 0 and succeeds on the other ranks. A wait for work on all
 * ranks ends when the last rank has completed its work. If any rank is asked to stop, the work on
 * rank 0 is asked to stop. */
#include "comm/world/collective_wait.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/progress.h"
#include "tests/support/check.h"

enum { TICKS = 20, TICK_US = 50000 };

static rn_err err;
static rn_world *world;

static rn_status tick(rn_err *work_err, void *context) {
  const int *ticks = context;
  for (int i = 0; i < TICKS; i++) {
    usleep(TICK_US);
    for (int k = 0; k < *ticks; k++) rn_progress_unit();
  }
  return *ticks > 1 ? rn_fail(work_err, RN_ERR_IO, "no such luck") : RN_OK;
}

/* Returns the units that this rank counted while the work on rank 0 counted `ticks` units per
 * TICK_US. */
static int64_t units_during(int ticks) {
  const bool first = rn_world_rank(world) == 0;
  const int64_t before = rn_progress_units();
  const rn_status status = rn_collective_wait_for_root(&err, world, tick, &ticks);
  CHECK(status == (first && ticks > 1 ? RN_ERR_IO : RN_OK));
  CHECK(status == RN_OK || strcmp(err.text, "no such luck") == 0);
  rn_err_clear(&err);
  return rn_progress_units() - before;
}

static void progress_reaches_all(void) {
  if (rn_world_size(world) == 1) return;
  CHECK(units_during(1) >= 3);
  CHECK(units_during(2) >= 3);
  const int64_t silent = units_during(0);
  CHECK(silent <= 1);
}

static atomic_bool working;

static void *work(void *argument) {
  usleep(*(const useconds_t *)argument);
  atomic_store(&working, false);
  return NULL;
}

static bool is_working(void *context) {
  (void)context;
  return atomic_load(&working);
}

static void all_wait_for_the_last(void) {
  pthread_t thread;
  useconds_t us = (useconds_t)rn_world_rank(world) * 50000;
  int64_t still = 0;
  atomic_store(&working, true);
  if (!CHECK(pthread_create(&thread, NULL, work, &us) == 0)) return;
  CHECK_OK(&err, rn_collective_wait(&err, world, is_working, NULL));
  still = atomic_load(&working);
  CHECK_EQUAL(still, 0);
  pthread_join(thread, NULL);
}

static atomic_bool asked;

static bool is_asked(void) {
  return atomic_load(&asked);
}

/* Work that ends only when it is asked to stop. */
static rn_status run_until_stopped(rn_err *work_err, void *context) {
  const rn_collective_stop *stop = context;
  (void)work_err;
  while (!atomic_load(&stop->given)) {
    usleep(1000);
    rn_progress_unit();
  }
  return RN_OK;
}

/* First no rank is asked to stop, and the work ends by itself; then the last rank is asked. */
static void any_rank_stops_the_work(void) {
  rn_collective_stop stop = {.asked = is_asked};
  int ticks = 1;
  CHECK_OK(&err, rn_collective_wait_for_root_or_stop(&err, world, tick, &ticks, &stop));
  CHECK(!atomic_load(&stop.given));
  if (rn_world_rank(world) == rn_world_size(world) - 1) atomic_store(&asked, true);
  CHECK_OK(&err, rn_collective_wait_for_root_or_stop(&err, world, run_until_stopped, &stop, &stop));
  CHECK(atomic_load(&stop.given));
}

int main(int argc, char **argv) {
  CHECK_OK(&err, rn_world_start(&err, &argc, &argv, &world));
  int ticks = 1;
  CHECK_OK(&err, rn_collective_wait_for_root(&err, world, tick, &ticks));
  progress_reaches_all();
  all_wait_for_the_last();
  any_rank_stops_the_work();
  return rn_world_finish(&world, check_failures() > 0 ? RN_ERR_MISMATCH : RN_OK, &err) != 0
             ? 1
             : check_result();
}
