/*
 * Checks that all threads take part in zeroing a large block of memory: each takes its share of the
 * page faults, and every byte is zero, for any size. A thread outside the OpenMP team zeroes its
 * memory alone.
 */
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "model/base/threads.h"
#include "proto/base/arena.h"
#include "tests/support/check.h"

enum { MOST_THREADS = 8, ODD_BYTES = (64 << 20) + 12345 };

static rn_err err;

/* Sets faults[t] to the number of page faults that thread t of the team has had so far. */
static void read_faults(long *faults) {
#pragma omp parallel
  {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    faults[omp_get_thread_num()] = usage.ru_minflt;
  }
}

static void all_is_zero(const char *memory, size_t bytes) {
  int64_t other = 0;
  for (size_t i = 0; i < bytes; i++) other += memory[i] != 0;
  CHECK_EQUAL(other, 0);
}

/* With the address sanitizer, the first thread also has page faults in the sanitizer's memory. */
#if defined(__SANITIZE_ADDRESS__)
enum { COUNTS_ARE_OURS = 0 };
#else
enum { COUNTS_ARE_OURS = 1 };
#endif

/* Checks that each thread has at least half of an equal share of the faults. Memory of this size
 * is always new from the kernel, never reused. */
static void faults_are_shared(const long *before, const long *after, int threads) {
  long sum = 0, fewest = after[0] - before[0];
  for (int t = 0; t < threads; t++) {
    const long faults = after[t] - before[t];
    sum += faults;
    if (faults < fewest) fewest = faults;
  }
  CHECK(sum >= threads);
  CHECK(!COUNTS_ARE_OURS || 2 * fewest >= sum / threads);
}

static void threads_share_first_touch(int threads) {
  long before[MOST_THREADS], after[MOST_THREADS];
  char *memory;
  rn_arena arena;
  rn_threads_start(threads);
  read_faults(before);
  read_faults(before); /* again: the first call may fault on the stacks */
  CHECK_OK(&err, rn_alloc(&err, "test", ODD_BYTES, 1, &memory));
  read_faults(after);
  faults_are_shared(before, after, threads);
  all_is_zero(memory, ODD_BYTES);
  CHECK_OK(&err, rn_arena_create(&err, ODD_BYTES, &arena));
  read_faults(before);
  faults_are_shared(after, before, threads);
  all_is_zero(arena.base, ODD_BYTES);
  rn_arena_destroy(&arena);
  free(memory);
}

/* Writes to the memory before it is freed, so that the next allocation must zero it. */
static void any_size_is_zeroed(void) {
  for (size_t bytes = (1 << 20) - 1; bytes < 3 << 20; bytes += 77777) {
    char *memory;
    CHECK_OK(&err, rn_alloc(&err, "test", bytes, 1, &memory));
    all_is_zero(memory, bytes);
    for (size_t i = 0; i < bytes; i++) memory[i] = 1;
    free(memory);
  }
}

static void *allocate_elsewhere(void *faults) {
  struct rusage usage;
  char *memory;
  rn_err own = {0};
  getrusage(RUSAGE_THREAD, &usage);
  const long before = usage.ru_minflt;
  CHECK_OK(&own, rn_alloc(&own, "test", ODD_BYTES, 1, &memory));
  getrusage(RUSAGE_THREAD, &usage);
  *(long *)faults = usage.ru_minflt - before;
  free(memory);
  return NULL;
}

int main(void) {
  static const int counts[] = {2, 5, MOST_THREADS};
  pthread_t thread;
  long faults = 0;
  for (int i = 0; i < 3; i++) threads_share_first_touch(counts[i]);
  any_size_is_zeroed();
  if (CHECK_EQUAL(pthread_create(&thread, NULL, allocate_elsewhere, &faults), 0)) {
    pthread_join(thread, NULL);
    CHECK(faults >= ODD_BYTES >> 21);
  }
  return check_result();
}
