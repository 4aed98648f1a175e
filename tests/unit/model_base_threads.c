/* Checks that every requested thread runs and flushes denormals, with any BLAS. */
#include "model/base/threads.h"

#include <float.h>
#include <omp.h>
#include <string.h>

#include "model/base/blas.h"
#include "tests/support/check.h"

/* If these were local, GCC 12 for aarch64 would compute the product at compile time. */
static volatile float smallest = FLT_MIN, bf16 = 0.5F;

static void denormals_are_zero_in_every_thread(int threads) {
  rn_threads_start(threads);
  int ran = 0, kept = 0;
#pragma omp parallel reduction(+ : ran, kept)
  {
    const float product = smallest * bf16;
    ran += 1;
    kept += product != 0;
  }
  CHECK_EQUAL(ran, threads);
#if defined(__SSE__) || defined(__aarch64__)
  CHECK_EQUAL(kept, 0);
#endif
}

int main(void) {
  for (int threads = 1; threads <= 4; threads++) denormals_are_zero_in_every_thread(threads);
  CHECK(strlen(rn_blas_core()) > 0 && strlen(rn_blas_config()) > 0);
  return check_result();
}
