/** Manages the OpenMP threads of this process: their number, the cores to which they are bound, and
 * flush-to-zero mode. */
#ifndef RN_MODEL_BASE_THREADS_H
#define RN_MODEL_BASE_THREADS_H

#include <stdbool.h>

#include "proto/base/affinity.h"

/**
 * Sets the number of OpenMP threads and enables flush-to-zero in each of them. From then on, all
 * these threads together zero the large blocks of memory that the calling thread allocates, so that
 * pages are placed near the threads (rn_arena_zero_by). Also restricts the BLAS library to one
 * thread per call, because the callers of products split the work over threads.
 */
void rn_threads_start(int threads);

/**
 * Selects the cores to which threads are bound, one thread per core; if NULL, threads are not
 * bound. On a physical core with several hardware threads, only one of these is used unless there
 * are more threads than physical cores. Takes effect in the next rn_threads_start, if there are at
 * least as many cores as threads.
 */
void rn_threads_bind(const rn_mask *cores);

/**
 * Binds the threads that OpenMP has started since rn_threads_start. When a parallel region needs
 * fewer threads than exist, OpenMP may end the surplus threads; the threads that later replace them
 * inherit the affinity mask of the first thread. Costs one short parallel region; call in every
 * step.
 */
void rn_threads_keep_bound(void);

/** Sets *cores to the cores to which the threads are bound. Returns false if they are not bound. */
bool rn_threads_bound(rn_mask *cores);

/** Returns the number of threads of an OpenMP parallel region started by the calling thread. */
int rn_threads(void);

/**
 * Sets the result of rn_threads without starting threads, and returns the old one. Lets a caller
 * compute the memory sizes of a process with another number of threads; it must restore the number
 * afterwards.
 */
int rn_threads_assume(int threads);

#endif
