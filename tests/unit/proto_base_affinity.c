/*
 * Checks how threads are assigned to cores: each thread gets a separate core, and keeps the core on
 * which it runs if that core is free. No two threads share a physical core while another physical
 * core is idle, and no thread is placed outside the launcher's CPU mask. Physical cores are read
 * from the kernel's topology files, and whole cores are divided among ranks. Masks are printed as
 * lists of cores.
 */
#include "proto/base/affinity.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/temp.h"

enum { CORES = 16, MAX_THREADS = 16 };

static int sibling[RN_MASK_CORES];

/* Makes cores c and c + `apart` one physical core. If `apart` is 0, makes each core a separate
 * physical core.
 */
static void set_topology(int apart) {
  for (int c = 0; c < RN_MASK_CORES; c++) {
    sibling[c] = apart > 0 && c % (2 * apart) >= apart ? c - apart : c;
  }
}

static rn_mask mask_of(int first, int last) {
  rn_mask mask = {0};
  for (int c = first; c <= last; c++) rn_mask_add(&mask, c);
  return mask;
}

static void text_is(const rn_mask *mask, const char *want) {
  char text[64];
  rn_mask_text(mask, text, sizeof text);
  if (!CHECK(strcmp(text, want) == 0)) check_that(false, text, __FILE__, __LINE__);
}

static void cores_are_told_as_a_list(void) {
  rn_mask mask = {0};
  char small[6];
  text_is(&mask, "");
  rn_mask_add(&mask, 5);
  text_is(&mask, "5");
  for (int c = 0; c < 3; c++) rn_mask_add(&mask, c);
  rn_mask_add(&mask, RN_MASK_CORES - 1);
  text_is(&mask, "0-2,5,8191");
  rn_mask_text(&mask, small, sizeof small);
  CHECK(strcmp(small, "0-2,5") == 0);
}

/* Checks what must hold for any assignment. `shared` is the number of physical cores with two
 * threads. */
static void check_cores(const rn_mask *mask, const int *core, int threads, int shared) {
  rn_mask taken = {0}, busy = {0};
  int twice = 0;
  for (int t = 0; t < threads; t++) {
    CHECK(rn_mask_has(mask, core[t]) && !rn_mask_has(&taken, core[t]));
    twice += rn_mask_has(&busy, sibling[core[t]]);
    rn_mask_add(&taken, core[t]);
    rn_mask_add(&busy, sibling[core[t]]);
  }
  CHECK_EQUAL(twice, shared);
}

static void no_two_share_while_one_is_idle(void) {
  static const int aparts[] = {0, 1, 8};
  int running[MAX_THREADS], core[MAX_THREADS];
  const rn_mask mask = mask_of(0, CORES - 1);
  for (int a = 0; a < 3; a++) {
    set_topology(aparts[a]);
    const int physical = aparts[a] == 0 ? CORES : CORES / 2;
    for (int threads = 1; threads <= CORES; threads++) {
      for (int kind = 0; kind < 3; kind++) {
        for (int t = 0; t < threads; t++) running[t] = kind == 0 ? -1 : kind == 1 ? 3 : 15 - t;
        CHECK(rn_affinity_assign(&mask, sibling, running, threads, core));
        check_cores(&mask, core, threads, threads > physical ? threads - physical : 0);
      }
    }
  }
}

static void a_thread_stays_where_it_runs(void) {
  const int running[] = {6, 9, 6, 200}, want_first = 6, want_second = 9;
  int core[4];
  const rn_mask mask = mask_of(4, 11);
  set_topology(0);
  CHECK(rn_affinity_assign(&mask, sibling, running, 4, core));
  CHECK_EQUAL(core[0], want_first);
  CHECK_EQUAL(core[1], want_second);
  check_cores(&mask, core, 4, 0);
}

static void too_few_cores_are_no_assignment(void) {
  const int running[] = {0, 1, 2};
  int core[3];
  const rn_mask mask = mask_of(0, 1);
  CHECK(!rn_affinity_assign(&mask, sibling, running, 3, core));
  CHECK(rn_affinity_assign(&mask, sibling, running, 2, core));
}

/* ---- topologies of other machines ---- */

static char folder[200];

/* Writes the file that lists the siblings of a core, in the format of the kernel. */
static void put_siblings(int core, const char *list) {
  char path[400];
  snprintf(path, sizeof path, "mkdir -p %s/cpu%d/topology", folder, core);
  CHECK_EQUAL(system(path), 0);
  snprintf(path, sizeof path, "%s/cpu%d/topology/thread_siblings_list", folder, core);
  FILE *file = fopen(path, "w");
  if (!CHECK(file != NULL)) return;
  fputs(list, file);
  fclose(file);
}

/* Writes the files of a machine with two sockets of 16 cores with two hardware threads each: c and
 * c + 32 are siblings. Cores 3 and 40 are offline. */
static void put_two_sockets(void) {
  char list[40];
  snprintf(folder, sizeof folder, "%s/cpus", temp_folder());
  for (int c = 0; c < 32; c++) {
    snprintf(list, sizeof list, "%d,%d\n", c, c + 32);
    if (c == 8) snprintf(list, sizeof list, "8\n");
    if (c != 3) put_siblings(c, list);
    if (c == 3) snprintf(list, sizeof list, "35\n");
    if (c != 8) put_siblings(c + 32, list);
  }
}

static int physical(const rn_mask *mask) {
  rn_affinity_siblings(folder, mask, sibling);
  return rn_affinity_physical(mask, sibling);
}

static rn_mask two_ranges(int first, int last, int second, int end) {
  rn_mask mask = mask_of(first, last);
  for (int c = second; c <= end; c++) rn_mask_add(&mask, c);
  return mask;
}

static void physical_cores_are_counted(void) {
  put_two_sockets();
  rn_mask all = {0};
  for (int c = 0; c < 64; c++) {
    if (c != 3 && c != 40) rn_mask_add(&all, c);
  }
  CHECK_EQUAL(physical(&all), 32);
  const rn_mask lower = two_ranges(0, 2, 4, 31), pair = two_ranges(5, 5, 37, 37);
  const rn_mask cpuset = two_ranges(4, 7, 36, 37), second = mask_of(41, 44);
  CHECK_EQUAL(physical(&lower), 31); /* one hardware thread of each physical core */
  CHECK_EQUAL(physical(&pair), 1);
  CHECK_EQUAL(physical(&cpuset), 4);
  CHECK_EQUAL(physical(&second), 4); /* the siblings are not in the mask */
}

static void threads_take_physical_cores_first(void) {
  int running[64], core[64];
  rn_mask mask = two_ranges(4, 7, 36, 39);
  physical(&mask);
  for (int threads = 1; threads <= 8; threads++) {
    for (int t = 0; t < threads; t++) running[t] = 36 + t % 4;
    CHECK(rn_affinity_assign(&mask, sibling, running, threads, core));
    check_cores(&mask, core, threads, threads > 4 ? threads - 4 : 0);
  }
}

/* The parts must cover the mask, must not share a physical core, and must be nearly equal. */
static void parts_are_whole_cores(void) {
  rn_mask mask = two_ranges(4, 16, 36, 50);
  const int cores = physical(&mask);
  for (int parts = 1; parts <= cores + 1; parts++) {
    int covered = 0, sum = 0;
    for (int i = 0; i < parts; i++) {
      const rn_mask part = rn_affinity_divide(&mask, sibling, parts, i);
      const int own = rn_affinity_physical(&part, sibling);
      CHECK(parts > cores ? own == 0 : own == cores / parts || own == cores / parts + 1);
      covered += rn_mask_count(&part);
      sum += own;
    }
    CHECK_EQUAL(covered, parts > cores ? 0 : rn_mask_count(&mask));
    CHECK_EQUAL(sum, parts > cores ? 0 : cores);
  }
}

static void unknown_topology_is_one_thread_per_core(void) {
  const rn_mask mask = mask_of(0, 5);
  static const char *const wrong[] = {"", "x\n", "-3\n", "99999\n", "\n"};
  for (int c = 0; c < 5; c++) put_siblings(c, wrong[c]);
  CHECK_EQUAL(physical(&mask), 6); /* without a file, core 5 counts as a physical core */
  snprintf(folder, sizeof folder, "%s/absent", temp_folder());
  CHECK_EQUAL(physical(&mask), 6);
}

static void *note_mask(void *mask) {
  sched_getaffinity(0, RN_MASK_BYTES, ((rn_mask *)mask)->set);
  return NULL;
}

/* Checks that a helper thread runs on the cores that compute threads do not claim, or on all
 * cores if all are claimed. */
static void check_helper(const rn_mask *claimed, const rn_mask *want) {
  pthread_t thread;
  rn_mask got = {0};
  rn_affinity_claim(claimed);
  if (!CHECK_EQUAL(rn_thread_create(&thread, note_mask, &got), 0)) return;
  pthread_join(thread, NULL);
  CHECK(memcmp(&got, want, sizeof got) == 0);
  rn_affinity_claim(NULL);
}

static void other_threads_run_elsewhere(void) {
  rn_mask all, one = {0}, rest = {0};
  int first = 0;
  CHECK(rn_affinity_launcher(&all) && rn_mask_count(&all) > 0);
  while (!rn_mask_has(&all, first)) first++;
  rn_mask_add(&one, first);
  for (int c = first + 1; c < RN_MASK_CORES; c++) {
    if (rn_mask_has(&all, c)) rn_mask_add(&rest, c);
  }
  sched_setaffinity(0, RN_MASK_BYTES, one.set); /* binds the creating thread to one core */
  check_helper(&one, rn_mask_count(&rest) > 0 ? &rest : &all);
  check_helper(&all, &all);
  check_helper(NULL, &all);
  rn_affinity_restore();
  CHECK_EQUAL(sched_getaffinity(0, RN_MASK_BYTES, rest.set), 0);
  CHECK(memcmp(&rest, &all, sizeof all) == 0);
}

static void *note_signals(void *set) {
  pthread_sigmask(SIG_BLOCK, NULL, set);
  return NULL;
}

/* Checks that other threads block all signals, and that the main thread's mask does not change. */
static void other_threads_get_no_signals(void) {
  static const int some[] = {SIGTERM, SIGUSR1, SIGINT, SIGCHLD};
  pthread_t thread;
  sigset_t before, inside, after;
  pthread_sigmask(SIG_BLOCK, NULL, &before);
  if (!CHECK_EQUAL(rn_thread_create(&thread, note_signals, &inside), 0)) return;
  pthread_join(thread, NULL);
  pthread_sigmask(SIG_BLOCK, NULL, &after);
  for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
    CHECK(sigismember(&inside, some[i]) == 1);
    CHECK_EQUAL(sigismember(&after, some[i]), sigismember(&before, some[i]));
  }
}

int main(void) {
  cores_are_told_as_a_list();
  no_two_share_while_one_is_idle();
  a_thread_stays_where_it_runs();
  too_few_cores_are_no_assignment();
  physical_cores_are_counted();
  threads_take_physical_cores_first();
  parts_are_whole_cores();
  unknown_topology_is_one_thread_per_core();
  other_threads_run_elsewhere();
  other_threads_get_no_signals();
  return check_result();
}
