/** Threads of this process, and the arithmetic they all agree on (denormals are flushed). */
#ifndef RN_MODEL_THREADS_H
#define RN_MODEL_THREADS_H

/**
 * Uses `threads` OpenMP threads; sets flush-to-zero in each of them, and keeps the product library
 * to one thread a call, whichever flavour of it is linked: we cut products over threads ourselves.
 */
void rn_threads_start(int threads);

/** The OpenMP threads that a parallel region of this thread gets. */
int rn_threads(void);

/** Name of the BLAS core type in use ("SkylakeX"), or "unknown"; the library's config string. */
const char *rn_blas_core(void);
const char *rn_blas_config(void);

#endif
