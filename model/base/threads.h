/** Threads of this process, and the arithmetic they all agree on (denormals are flushed). */
#ifndef RN_MODEL_BASE_THREADS_H
#define RN_MODEL_BASE_THREADS_H

#include <stdbool.h>

#include "proto/base/affinity.h"

/**
 * Uses `threads` OpenMP threads; sets flush-to-zero in each of them, and keeps the product library
 * to one thread a call, whichever flavour of it is linked: we cut products over threads ourselves.
 */
void rn_threads_start(int threads);

/**
 * Whether threads that are started from now on get a core each, of those that the launcher left
 * this process. It takes effect in rn_threads_start, where there are as many cores as threads.
 */
void rn_threads_bind(bool wanted);

/**
 * Binds threads that OpenMP has started since: it ends threads of its pool that a smaller team does
 * not need, and new ones get the first thread's mask. One short parallel region; for every step.
 */
void rn_threads_keep_bound(void);

/** The cores that threads are bound to here. False where they are not. */
bool rn_threads_bound(rn_mask *cores);

/** The OpenMP threads that a parallel region of this thread gets. */
int rn_threads(void);

#endif
