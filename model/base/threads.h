/** Threads of this process: number, cores, and flushing of denormals. */
#ifndef RN_MODEL_BASE_THREADS_H
#define RN_MODEL_BASE_THREADS_H

#include <stdbool.h>

#include "proto/base/affinity.h"

/**
 * Uses `threads` OpenMP threads, enables flush-to-zero in each of them, and restricts the BLAS
 * library, whichever is linked, to one thread per call: products are split over threads here.
 */
void rn_threads_start(int threads);

/**
 * Whether threads started from now on are bound to one core each, of those that the launcher gave
 * to this process. Takes effect in rn_threads_start, if there are as many cores as threads.
 */
void rn_threads_bind(bool wanted);

/**
 * Binds threads that OpenMP has started since: OpenMP ends threads of its pool when a smaller team
 * does not need them, and new ones inherit the first thread's mask. One short parallel region; call
 * in every step.
 */
void rn_threads_keep_bound(void);

/** The cores to which the threads are bound; false if they are not bound. */
bool rn_threads_bound(rn_mask *cores);

/** The number of OpenMP threads in a parallel region started by this thread. */
int rn_threads(void);

#endif
