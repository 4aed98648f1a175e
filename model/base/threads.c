#include "model/base/threads.h"

#include <assert.h>
#include <omp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "model/base/blas.h"
#include "proto/base/arena.h"

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

/* ---- cores ---- */

/* The binding of threads to cores that the last rn_threads_start made. */
static struct {
  bool wanted, active;
  rn_mask cores;  /* cores to which threads may be bound */
  unsigned start; /* number of the current assignment; each thread stores the number of its last
                     binding */
  int core[RN_MASK_CORES];
} binding;

void rn_threads_bind(const rn_mask *cores) {
  binding.wanted = cores != NULL;
  if (cores != NULL) binding.cores = *cores;
}

static bool bind_to(int core) {
  rn_mask one = {0};
  rn_mask_add(&one, core);
  return sched_setaffinity(0, RN_MASK_BYTES, one.set) == 0;
}

/* Binds the calling thread to its core, unless it is already bound by the current assignment; call
 * in a parallel region. Returns false on failure. */
static bool bind_self(void) {
  static _Thread_local unsigned bound;
  if (bound == binding.start) return true;
  bound = binding.start;
  return bind_to(binding.core[omp_get_thread_num()]);
}

static bool bind_all(void) {
  int failed = 0;
#pragma omp parallel
  if (!bind_self()) {
#pragma omp atomic write
    failed = 1;
  }
  return failed == 0;
}

static void unbind_all(void) {
  binding.active = false;
  rn_affinity_claim(NULL);
#pragma omp parallel
  rn_affinity_restore();
}

/* Assigns each thread a core as near as possible to the core on which the thread runs now. */
static bool assign_cores(const rn_mask *mask, int threads) {
  static int sibling[RN_MASK_CORES], running[RN_MASK_CORES];
  for (int t = 0; t < threads; t++) running[t] = -1;
#pragma omp parallel
  running[omp_get_thread_num()] = sched_getcpu();
  rn_affinity_siblings(rn_affinity_folder(), mask, sibling);
  return rn_affinity_assign(mask, sibling, running, threads, binding.core);
}

static void bind(int threads) {
  rn_mask cores;
  if (threads > rn_mask_count(&binding.cores)) return;
  if (!assign_cores(&binding.cores, threads)) return;
  binding.start++;
  binding.active = bind_all();
  if (rn_threads_bound(&cores)) {
    rn_affinity_claim(&cores);
  } else {
    unbind_all();
  }
}

void rn_threads_keep_bound(void) {
  if (binding.active) bind_all();
}

bool rn_threads_bound(rn_mask *cores) {
  *cores = (rn_mask){0};
  for (int t = 0; binding.active && t < omp_get_max_threads(); t++) {
    rn_mask_add(cores, binding.core[t]);
  }
  return binding.active;
}

/* ---- first touch ---- */

/* Sets page `index` to zero. */
static void zero_page(char *memory, size_t bytes, size_t page, int64_t index) {
  const size_t at = (size_t)index * page, left = bytes - at;
  memset(memory + at, 0, left < page ? left : page);
}

/* Zeros memory in parallel. There are two loops because the OpenMP schedule of a loop is fixed at
 * compile time. */
static void zero(rn_touch touch, char *memory, size_t bytes, size_t page) {
  const int64_t pages = (int64_t)((bytes + page - 1) / page);
  if (touch == RN_TOUCH_PAGES) {
#pragma omp parallel for schedule(static, 1)
    for (int64_t i = 0; i < pages; i++) zero_page(memory, bytes, page, i);
  } else {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < pages; i++) zero_page(memory, bytes, page, i);
  }
}

/* ---- start ---- */

/* Sets OpenMP's number of threads after BLAS's, because an OpenBLAS built with OpenMP changes
 * OpenMP's number. */
void rn_threads_start(int threads) {
  const rn_blas *blas = rn_blas_table();
  assert(threads >= 1);
  if (blas->set_threads != NULL) blas->set_threads(1);
  if (blas->set_blis_threads != NULL) blas->set_blis_threads(1);
  if (binding.active) unbind_all(); /* new threads inherit the affinity mask of this thread */
  omp_set_dynamic(0);
  omp_set_num_threads(threads);
  omp_set_max_active_levels(1); /* no nested parallelism */
  flush_denormals();
#pragma omp parallel
  flush_denormals();
  if (binding.wanted) bind(threads);
  rn_arena_zero_by(zero);
}

int rn_threads(void) {
  return omp_get_max_threads();
}

int rn_threads_assume(int threads) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(threads);
  return before;
}
