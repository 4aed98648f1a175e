#include "proto/base/slowdown.h"

#include <time.h>

#include "proto/base/fault.h"

static const char site[] = "compute";

/* Returns the CPU time of the calling thread. Unlike elapsed time, it does not include waits for
 * other ranks, which must not be lengthened. */
static double thread_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double rn_slowdown_begin(void) {
  return rn_fault_names(site) ? thread_s() : 0;
}

double rn_slowdown_end(double begin_s) {
  const double fraction = rn_fault_busy(site);
  if (fraction <= 0) return 0;
  const double end_s = thread_s(), added_s = fraction * (end_s - begin_s);
  while (thread_s() < end_s + added_s) continue;
  return added_s;
}
