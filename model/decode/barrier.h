/** Threads that wait for each other, and read ahead meanwhile. */
#ifndef RN_MODEL_DECODE_BARRIER_H
#define RN_MODEL_DECODE_BARRIER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/** How many arrivals there have been at all meetings of a parallel region; zero before it. */
typedef struct rn_thread_barrier {
  atomic_int_least64_t arrivals;
} rn_thread_barrier;

/**
 * A barrier: returns once all threads of the region have called it as often as this one. Until the
 * last has come, memory from `next` on that this thread reads afterwards is brought near, at most
 * `bytes` of it: a wait costs no bandwidth.
 */
void rn_thread_barrier_wait(rn_thread_barrier *barrier, const void *next, size_t bytes);

#endif
