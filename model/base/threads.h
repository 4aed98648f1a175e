/** The threads of this process: their number, the cores they are bound to, and flush-to-zero
 * mode. */
#ifndef RN_MODEL_BASE_THREADS_H
#define RN_MODEL_BASE_THREADS_H

#include <stdbool.h>

#include "proto/base/affinity.h"

/**
 * Sets the number of OpenMP threads and enables flush-to-zero in each of them. From then on, these
 * threads together are the first to touch large memory that this thread allocates
 * (rn_arena_zero_by). Also restricts the BLAS library to one thread per call, because the callers
 * of products split the work over threads.
 */
void rn_threads_start(int threads);

/**
 * Selects the cores to which threads are bound, one thread to each core; NULL: threads are not
 * bound. Of a physical core with several hardware threads, the others are used only if there are
 * more threads than physical cores. Takes effect in the next rn_threads_start, provided that there
 * are at least as many cores as threads.
 */
void rn_threads_bind(const rn_mask *cores);

/**
 * Binds the threads that OpenMP has started since rn_threads_start. OpenMP may end pool threads
 * that a smaller team does not need; the threads that later replace them inherit the first thread's
 * affinity mask. Costs one short parallel region; call in every step.
 */
void rn_threads_keep_bound(void);

/** Gets the cores to which the threads are bound. Returns false if they are not bound. */
bool rn_threads_bound(rn_mask *cores);

/** Returns the number of OpenMP threads in a parallel region that this thread would start. */
int rn_threads(void);

#endif
