#include "trainer/blas_care.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "model/threads.h"
#include "proto/affinity.h"
#include "proto/fault.h"
#include "proto/log.h"

static const char core_key[] = "OPENBLAS_CORETYPE", was_key[] = "RETNET_BLAS_CORE_WAS";

/* The core type for this CPU's widest vectors; NULL where older kernels are the right ones. */
static const char *fitting_core(void) {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    return "SKYLAKEX";
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "HASWELL";
#endif
  return NULL;
}

/* Whether OpenBLAS is in use with kernels without AVX2 although the CPU has it. */
static bool fell_back(void) {
  static const char *const fast[] = {
      "haswell", "zen", "excavator", "skylakex", "cooperlake", "sapphirerapids", "unknown"};
  const char *core = rn_blas_core();
  if (fitting_core() == NULL) return false;
  if (rn_fault_now("blas.core")) return true;
  for (size_t i = 0; i < sizeof fast / sizeof fast[0]; i++) {
    if (strcasecmp(core, fast[i]) == 0) return false;
  }
  return true;
}

void rn_blas_care(char **argv) {
  if (getenv(core_key) != NULL || !fell_back()) return;
  setenv(was_key, rn_blas_core(), 1);
  setenv(core_key, fitting_core(), 1);
  rn_affinity_restore(); /* OMP_PROC_BIND has narrowed the first thread's */
  execv("/proc/self/exe", argv);
  unsetenv(core_key);
}

void rn_blas_tell(void) {
  const char *was = getenv(was_key), *asked = getenv(core_key);
  if (was != NULL && asked != NULL) {
    rn_log_info("OpenBLAS had taken kernels for %s; started anew with %s=%s", was, core_key, asked);
  } else if (fell_back()) {
    rn_log_warn("OpenBLAS works with kernels for %s, this CPU could do with those for %s: %s",
                rn_blas_core(), fitting_core(),
                asked != NULL ? "unset OPENBLAS_CORETYPE" : "set OPENBLAS_CORETYPE to it");
  }
}
