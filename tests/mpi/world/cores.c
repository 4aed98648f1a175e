/* Checks that the number of threads depends on a rank's cores and on the ranks that share them,
 * and that a key overrides it. */
#include "comm/world/cores.h"

#include <sched.h>
#include <stdio.h>
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
  unsetenv("OMP_NUM_THREADS");
  const rn_cores hyper = {.cores = 16, .hardware_threads = 32, .sharing = 2};
  CHECK_EQUAL(rn_cores_threads(hyper, 0), 8); /* one thread per physical core */
  CHECK_EQUAL(rn_cores_threads(hyper, 16), 16);
  CHECK_EQUAL(rn_cores_hyperthreads(hyper), 2);
  CHECK_EQUAL(rn_cores_hyperthreads(shared(16, 2)), 1);
}

/* Checks that hardware threads that the kernel reports as siblings count as one core, on every
 * rank. */
static void siblings_are_one_core(rn_world *world) {
  rn_mask mask;
  rn_cores before, cores;
  char folder[] = "/tmp/retnet-cpus-XXXXXX", path[200];
  int first = 0;
  rn_affinity_launcher(&mask);
  CHECK_OK(&err, rn_cores_detect(&err, world, &before));
  if (!CHECK(mkdtemp(folder) != NULL)) return;
  while (!rn_mask_has(&mask, first)) first++;
  for (int c = 0; c < RN_MASK_CORES; c++) {
    if (!rn_mask_has(&mask, c)) continue;
    snprintf(path, sizeof path, "mkdir -p %s/cpu%d/topology && echo %d >%s/cpu%d/topology/%s",
             folder, c, first, folder, c, "thread_siblings_list");
    CHECK_EQUAL(system(path), 0);
  }
  setenv("RETNET_CPU_FOLDER", folder, 1);
  CHECK_OK(&err, rn_cores_detect(&err, world, &cores));
  CHECK_EQUAL(cores.cores, 1);
  CHECK_EQUAL(cores.used, 1);
  CHECK_EQUAL(cores.hardware_threads, rn_mask_count(&mask));
  CHECK_EQUAL(cores.sharing, before.sharing);
  CHECK_EQUAL(rn_cores_hyperthreads(cores), rn_mask_count(&mask));
  CHECK_EQUAL(rn_mask_count(&cores.own), cores.sharing == 1 ? rn_mask_count(&mask) : 0);
  /* If the topology is unknown, each hardware thread counts as a core. */
  setenv("RETNET_CPU_FOLDER", "/nowhere", 1);
  CHECK_OK(&err, rn_cores_detect(&err, world, &cores));
  CHECK_EQUAL(cores.cores, rn_mask_count(&mask));
  unsetenv("RETNET_CPU_FOLDER");
  snprintf(path, sizeof path, "rm -r %s", folder);
  CHECK_EQUAL(system(path), 0);
}

/* Checks that ranks with the same mask bind their threads to disjoint parts of it. */
static void shares_do_not_overlap(rn_world *world) {
  const int size = rn_world_size(world);
  rn_cores cores;
  CHECK_OK(&err, rn_cores_detect(&err, world, &cores));
  double mine = rn_mask_count(&cores.own), sum = 0, all[64];
  CHECK_OK(&err, rn_world_all_gather_double(&err, world, mine, all));
  for (int r = 0; r < size; r++) sum += all[r];
  CHECK_EQUAL((int)sum, cores.cores >= size ? cores.hardware_threads : 0);
}

/* Checks that cores are left over only if, besides the cores of the compute threads, there is one
 * more core for each rank. */
static void cores_are_left_over_beside_threads(void) {
  CHECK(rn_cores_left_over(shared(2, 1), 1));
  CHECK(!rn_cores_left_over(shared(2, 1), 2));
  CHECK(!rn_cores_left_over(shared(2, 2), 1));
  CHECK(!rn_cores_left_over(shared(8, 3), 2)); /* only two cores are left for three ranks */
  CHECK(rn_cores_left_over(shared(9, 3), 2));
}

/* Checks that cores suffice if and only if each thread can have a separate core. */
static void cores_suffice_for_threads(void) {
  CHECK(rn_cores_suffice(shared(2, 1), 2));
  CHECK(rn_cores_suffice(shared(2, 2), 1));
  CHECK(rn_cores_suffice(shared(8, 3), 2));
  CHECK(!rn_cores_suffice(shared(8, 3), 3));
  CHECK(!rn_cores_suffice(shared(2, 1), 16));
}

static int nth_core(const cpu_set_t *mask, int number) {
  int core = 0;
  for (; core < CPU_SETSIZE; core++) {
    if (CPU_ISSET(core, mask) && number-- == 0) break;
  }
  return core;
}

/* Unbound ranks share all cores; a rank bound to one core shares it only with ranks on that
 * core. */
static void sharing_is_by_mask(rn_world *world) {
  const int size = rn_world_size(world), rank = rn_world_rank(world);
  rn_cores cores;
  cpu_set_t all, one;
  CHECK_EQUAL(sched_getaffinity(0, sizeof all, &all), 0);
  const int count = CPU_COUNT(&all);
  CHECK_OK(&err, rn_cores_detect(&err, world, &cores));
  CHECK_EQUAL(cores.hardware_threads, count);
  CHECK_EQUAL(cores.sharing, size);
  CHECK_EQUAL(cores.used, cores.cores);
  CPU_ZERO(&one);
  CPU_SET(nth_core(&all, rank % count), &one);
  CHECK_EQUAL(sched_setaffinity(0, sizeof one, &one), 0);
  CHECK_OK(&err, rn_cores_detect(&err, world, &cores));
  CHECK_EQUAL(cores.hardware_threads,
              count); /* the mask of the launcher, not the narrower one set above */
  rn_affinity_remember();
  CHECK_OK(&err, rn_cores_detect(&err, world, &cores));
  CHECK_EQUAL(cores.cores, 1);
  CHECK_EQUAL(cores.ranks, size);
  CHECK(cores.used <= size && cores.used <= count);
  CHECK_EQUAL(cores.sharing, size / count + (rank % count < size % count));
}

int main(int argc, char **argv) {
  rn_world *world = NULL;
  rn_status status = rn_world_start(&err, &argc, &argv, &world);
  if (status != RN_OK) return rn_world_finish(&world, status, &err);
  threads_follow_cores();
  cores_are_left_over_beside_threads();
  cores_suffice_for_threads();
  siblings_are_one_core(world);
  shares_do_not_overlap(world);
  sharing_is_by_mask(world);
  return test_finish_world(&err, &world);
}
