/** Reads the number of threads that the user requests with OMP_NUM_THREADS. */
#ifndef RN_PROTO_BASE_OMP_THREADS_H
#define RN_PROTO_BASE_OMP_THREADS_H

#include <stdbool.h>
#include <stddef.h>

/** Maximum number of threads of a rank: the number of cores that Linux supports. */
enum { RN_OMP_THREADS_MAX = 8192 };

/**
 * Returns the first number of OMP_NUM_THREADS, which may be a list with one number per nesting
 * level; 0 if it is not set, or if it is not a number from 1 to RN_OMP_THREADS_MAX.
 */
int rn_omp_threads(void);

/** If OMP_NUM_THREADS is set but rn_omp_threads returns 0, returns true and writes a warning to
 * text [bytes]: the value of the variable, and that `used` threads are used instead. */
bool rn_omp_threads_refused(int used, char *text, size_t bytes);

#endif
