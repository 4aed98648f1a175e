/** A barrier of threads that prefetch memory while they wait. */
#ifndef RN_MODEL_DECODE_BARRIER_H
#define RN_MODEL_DECODE_BARRIER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/** Number of arrivals at all barriers of a parallel region; set to zero before the region. */
typedef struct rn_thread_barrier {
  atomic_int_least64_t arrivals;
} rn_thread_barrier;

/**
 * Returns once all threads of the region have called it as often as this one. Until the last has
 * arrived, prefetches memory that this thread reads next, at most `bytes` from `next` on, so that
 * the wait does not waste memory bandwidth.
 */
void rn_thread_barrier_wait(rn_thread_barrier *barrier, const void *next, size_t bytes);

#endif
