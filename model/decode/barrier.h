/** Implements a barrier at which the waiting threads prefetch memory. */
#ifndef RN_MODEL_DECODE_BARRIER_H
#define RN_MODEL_DECODE_BARRIER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/** The state of the barrier: the number of arrivals since the parallel region began. The caller
 * sets it to zero before the region. */
typedef struct rn_thread_barrier {
  atomic_int_least64_t arrivals;
} rn_thread_barrier;

/**
 * Waits until all threads of the region have arrived. Meanwhile prefetches the memory that this
 * thread reads next (at most `bytes` bytes, starting at `next`), so that the wait does not waste
 * memory bandwidth.
 */
void rn_thread_barrier_wait(rn_thread_barrier *barrier, const void *next, size_t bytes);

#endif
