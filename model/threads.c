#include "model/threads.h"

#include <assert.h>
#include <omp.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

/* Present in OpenBLAS only: weak, so that any other CBLAS links as well. */
extern void openblas_set_num_threads(int threads) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));
extern char *openblas_get_config(void) __attribute__((weak));
/* Present in BLIS only. */
extern void bli_thread_set_num_threads(int64_t threads) __attribute__((weak));

static void flush_denormals(void) {
#if defined(__SSE__)
  enum { FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x0040 };
  _mm_setcsr(_mm_getcsr() | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
#elif defined(__aarch64__)
  uint64_t control;
  __asm__ volatile("mrs %0, fpcr" : "=r"(control));
  __asm__ volatile("msr fpcr, %0" : : "r"(control | UINT64_C(1) << 24));
#endif
}

/* The OpenMP flavour of OpenBLAS resets OpenMP's own number of threads, so ours is set last. */
void rn_threads_start(int threads) {
  assert(threads >= 1);
  if (openblas_set_num_threads != NULL) openblas_set_num_threads(1);
  if (bli_thread_set_num_threads != NULL) bli_thread_set_num_threads(1);
  omp_set_dynamic(0);
  omp_set_num_threads(threads);
  omp_set_max_active_levels(1); /* what a thread calls inside a parallel part is its own */
  flush_denormals();
#pragma omp parallel
  flush_denormals();
}

int rn_threads(void) {
  return omp_get_max_threads();
}

const char *rn_blas_core(void) {
  return openblas_get_corename != NULL ? openblas_get_corename() : "unknown";
}

const char *rn_blas_config(void) {
  return openblas_get_config != NULL ? openblas_get_config() : "unknown";
}
