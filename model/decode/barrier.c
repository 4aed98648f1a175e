#include "model/decode/barrier.h"

#include <omp.h>

enum {
  LINE_BYTES = 64,
  POLL_BYTES = 512,     /* bytes prefetched between two polls of the arrival count */
  FIRST_BYTES = 4096,   /* bytes that are always prefetched, because the thread reads them first */
  MAX_BYTES = 256 << 10 /* maximum bytes to prefetch; they fit into the private cache of a core */
};

void rn_thread_barrier_wait(rn_thread_barrier *barrier, const void *next, size_t bytes) {
  const char *from = next;
  const int64_t threads = omp_get_num_threads();
  const int64_t before = atomic_fetch_add(&barrier->arrivals, 1);
  const int64_t all = (before / threads + 1) * threads;
  const size_t max = bytes < MAX_BYTES ? bytes : MAX_BYTES;
  for (size_t at = 0; at < max; at += POLL_BYTES) {
    if (at >= FIRST_BYTES && atomic_load(&barrier->arrivals) >= all) break;
    for (size_t line = at; line < at + POLL_BYTES; line += LINE_BYTES) {
      __builtin_prefetch(from + line, 0, 2);
    }
  }
#pragma omp barrier
}
