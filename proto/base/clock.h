/** Reads the monotonic clock, to measure durations. */
#ifndef RN_PROTO_BASE_CLOCK_H
#define RN_PROTO_BASE_CLOCK_H

#include <time.h>

/** Returns the time in seconds. */
static inline double rn_clock_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
