/*
 * Checks that by default each thread, including those that OpenMP starts later, is bound to its own
 * core of the launcher's CPU mask. Threads are not bound if the user places them, if the rank's
 * share of the mask has fewer cores than threads, or if there is only one thread. The launcher's
 * mask must be found even if OpenMP has narrowed that of the first thread.
 */
#include "trainer/machine/binding.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/base/threads.h"
#include "tests/support/check.h"

static char text[160];

/* Returns whether the threads of a rank are bound if `sharing` ranks, including this one, have the
 * same mask. Each of `cores` cores has two hardware threads. */
static bool find(int cores, int sharing, int threads) {
  rn_cores c = {.cores = cores, .hardware_threads = 2 * cores, .sharing = sharing};
  for (int i = 0; i < 2 * (cores / sharing); i++) rn_mask_add(&c.own, i);
  return rn_binding_find(c, threads, text, sizeof text);
}

static void only_threads_with_cores_of_their_own_are_bound(void) {
  CHECK(find(8, 1, 8) && find(8, 1, 2));
  CHECK(find(8, 1, 16) && find(8, 2, 4) && find(8, 2, 8)); /* 2 ranks: half of the mask each */
  CHECK(!find(8, 2, 9) && strstr(text, "2 ranks share 8 cores"));
  CHECK(!find(1, 2, 2) && strstr(text, "2 ranks share 1 core"));
  CHECK(!find(4, 1, 9) && strstr(text, "9 threads on 4 cores"));
  CHECK(!find(4, 1, 1) && strstr(text, "only one thread"));
  static const char *const said[] = {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY",
                                     "KMP_AFFINITY"};
  for (int i = 0; i < 4; i++) {
    setenv(said[i], "some", 1);
    CHECK(!find(8, 1, 8) && strstr(text, said[i]));
    unsetenv(said[i]);
  }
}

/* Checks that each thread of a team of that size has one core, and that no two threads have the
 * same. */
static void check_team(int threads) {
  rn_mask all, seen = {0};
  int cores = 0, inside = 0;
  rn_affinity_launcher(&all);
#pragma omp parallel num_threads(threads)
#pragma omp critical
  {
    rn_mask own;
    sched_getaffinity(0, RN_MASK_BYTES, own.set);
    cores += rn_mask_count(&own);
    inside += rn_mask_overlaps(&own, &all) && !rn_mask_overlaps(&own, &seen);
    CPU_OR_S(RN_MASK_BYTES, seen.set, seen.set, own.set);
  }
  CHECK_EQUAL(cores, threads);
  CHECK_EQUAL(inside, threads);
}

static void threads_are_bound(void) {
  rn_mask all, bound;
  rn_affinity_launcher(&all);
  const int cores = rn_mask_count(&all), most = cores < 8 ? cores : 8;
  rn_threads_bind(&all);
  for (int threads = 2; threads <= most; threads++) {
    rn_threads_start(threads);
    CHECK(rn_threads_bound(&bound));
    CHECK_EQUAL(rn_mask_count(&bound), threads);
    check_team(threads);
    /* A smaller team ends the other threads. Those that OpenMP starts later must be bound, too. */
    if (threads > 2) {
#pragma omp parallel num_threads(2)
      sched_yield();
      rn_threads_keep_bound();
      check_team(threads);
    }
  }
  rn_binding_describe(text, sizeof text);
  CHECK(strncmp(text, "bound to cores ", 15) == 0);
  rn_threads_start(cores + 1); /* too few cores: no thread is bound */
  CHECK(!rn_threads_bound(&bound));
  rn_threads_bind(NULL);
  rn_threads_start(2);
  CHECK(!rn_threads_bound(&bound));
  CHECK_EQUAL(sched_getaffinity(0, RN_MASK_BYTES, bound.set), 0);
  CHECK(memcmp(&bound, &all, sizeof all) == 0);
}

/* Runs as the child: returns 0 if the mask found is that of its parent, not a narrowed one. */
static int look_as_child(const char *want) {
  rn_mask all;
  if (!rn_affinity_launcher(&all)) return 2;
  rn_mask_text(&all, text, sizeof text);
  return strcmp(text, want) == 0 ? 0 : 1;
}

static void the_launchers_mask_is_known(const char *self) {
  rn_mask all;
  rn_affinity_launcher(&all);
  rn_mask_text(&all, text, sizeof text);
  const pid_t child = fork();
  if (child == 0) {
    setenv("OMP_PROC_BIND", "close", 1);
    setenv("OMP_NUM_THREADS", "2", 1);
    execl(self, self, text, (char *)NULL);
    _exit(127);
  }
  int status = 0;
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv) {
  if (argc == 2) return look_as_child(argv[1]);
  only_threads_with_cores_of_their_own_are_bound();
  the_launchers_mask_is_known(argv[0]);
  threads_are_bound();
  return check_result();
}
