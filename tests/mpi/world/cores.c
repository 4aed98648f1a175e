/* The thread count depends on a rank's cores and the ranks that share them; a key overrides it. */
#include "comm/world/cores.h"

#include <sched.h>
#include <stdlib.h>

#include "proto/base/affinity.h"
#include "tests/support/check.h"
#include "tests/support/world.h"

static rn_err err;

static rn_cores shared(int cores, int ranks) {
  return (rn_cores){.cores = cores, .sharing = ranks};
}

static void threads_follow_cores(void) {
  unsetenv("OMP_NUM_THREADS");
  CHECK(!rn_cores_threads_given(0));
  CHECK(rn_cores_threads_given(1));
  CHECK_EQUAL(rn_cores_threads(shared(8, 1), 0), 8);
  CHECK_EQUAL(rn_cores_threads(shared(8, 3), 0), 2);
  CHECK_EQUAL(rn_cores_threads(shared(2, 64), 0), 1);
  setenv("OMP_NUM_THREADS", "3,2", 1);
  CHECK_EQUAL(rn_cores_threads(shared(8, 1), 0), 3);
  CHECK(rn_cores_threads_given(0));
  CHECK_EQUAL(rn_cores_threads(shared(8, 1), 5), 5);
  setenv("OMP_NUM_THREADS", "many", 1);
  CHECK_EQUAL(rn_cores_threads(shared(8, 2), 0), 4);
}

/* The communication thread needs a core that no other thread uses. */
static void cores_are_left_over_beside_threads(void) {
  CHECK(rn_cores_left_over(shared(2, 1), 1));
  CHECK(!rn_cores_left_over(shared(2, 1), 2));
  CHECK(!rn_cores_left_over(shared(2, 2), 1));
  CHECK(!rn_cores_left_over(shared(8, 3), 2)); /* two cores are left for three ranks */
  CHECK(rn_cores_left_over(shared(9, 3), 2));
}

static int nth_core(const cpu_set_t *mask, int number) {
  int core = 0;
  for (; core < CPU_SETSIZE; core++) {
    if (CPU_ISSET(core, mask) && number-- == 0) break;
  }
  return core;
}

/* Unbound ranks share all cores; ranks bound to one core share it with ranks on the same core. */
static void sharing_is_by_mask(rn_world *world) {
  const int size = rn_world_size(world), rank = rn_world_rank(world);
  rn_cores cores;
  cpu_set_t all, one;
  CHECK_EQUAL(sched_getaffinity(0, sizeof all, &all), 0);
  const int count = CPU_COUNT(&all);
  CHECK_OK(&err, rn_cores_detect(&err, world, &cores));
  CHECK_EQUAL(cores.cores, count);
  CHECK_EQUAL(cores.sharing, size);
  CHECK_EQUAL(cores.used, count);
  CPU_ZERO(&one);
  CPU_SET(nth_core(&all, rank % count), &one);
  CHECK_EQUAL(sched_setaffinity(0, sizeof one, &one), 0);
  CHECK_OK(&err, rn_cores_detect(&err, world, &cores));
  CHECK_EQUAL(cores.cores, count); /* the launcher's mask, not the narrower one set later */
  rn_affinity_remember();
  CHECK_OK(&err, rn_cores_detect(&err, world, &cores));
  CHECK_EQUAL(cores.cores, 1);
  CHECK_EQUAL(cores.ranks, size);
  CHECK_EQUAL(cores.used, size < count ? size : count);
  CHECK_EQUAL(cores.sharing, size / count + (rank % count < size % count));
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  threads_follow_cores();
  cores_are_left_over_beside_threads();
  sharing_is_by_mask(world);
  return test_finish_world(&err, &world);
}
