/* Computes products with oneDNN, which generates code for each shape at the first call. */
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <strings.h>

#include "model/kernel/gemm_backends.h"
#include "model/kernel/kernels.h"
#include "proto/base/fault.h"

/* Computes an NN product. Falls back to CBLAS if dnnl_sgemm fails, for example because it cannot
 * allocate packing buffers. */
static void gemm_nn(int m, int n, int k, float alpha, const float *a, int64_t lda, const float *b,
                    int64_t ldb, float beta, float *c, int64_t ldc) {
  if (dnnl_sgemm('N', 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) == dnnl_success) return;
  rn_gemm_cblas.nn(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

static void gemm_nt(int m, int n, int k, float alpha, const float *a, int64_t lda, const float *b,
                    int64_t ldb, float beta, float *c, int64_t ldc) {
  if (dnnl_sgemm('N', 'T', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) == dnnl_success) return;
  rn_gemm_cblas.nt(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

static void gemm_tn(int m, int n, int k, float alpha, const float *a, int64_t lda, const float *b,
                    int64_t ldb, float beta, float *c, int64_t ldc) {
  if (dnnl_sgemm('T', 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) == dnnl_success) return;
  rn_gemm_cblas.tn(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

static void gemm_nt_fp64_accumulate(int m, int n, int k, float alpha, const float *a, int64_t lda,
                                    const float *b, int64_t ldb, float beta, float *c,
                                    int64_t ldc) {
  rn_gemm_cblas.nt_fp64_accumulate(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

const rn_gemm_backend rn_gemm_onednn = {.name = "onednn",
                                        .nn = gemm_nn,
                                        .nt = gemm_nt,
                                        .tn = gemm_tn,
                                        .nt_fp64_accumulate = gemm_nt_fp64_accumulate,
                                        .transposes = rn_gemm_onednn_has_avx512};

const rn_gemm_backend rn_gemm_onednn_nt = {.name = "onednn+openblas",
                                           .nn = rn_gemm_cblas_nn,
                                           .nt = gemm_nt,
                                           .tn = rn_gemm_cblas_tn,
                                           .nt_fp64_accumulate = gemm_nt_fp64_accumulate};

bool rn_gemm_onednn_has_avx512(void) {
  return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
}

#if defined(__x86_64__)
/* The instruction sets for which oneDNN has different code for fp32 or bf16 products; the levels of
 * rn_gemm_vector_level. */
enum { SSE41, AVX, AVX2, AVX512, BF16, AMX };
static const dnnl_cpu_isa_t isas[] = {[SSE41] = dnnl_cpu_isa_sse41,
                                      [AVX] = dnnl_cpu_isa_avx,
                                      [AVX2] = dnnl_cpu_isa_avx2,
                                      [AVX512] = dnnl_cpu_isa_avx512_core,
                                      [BF16] = dnnl_cpu_isa_avx512_core_bf16,
                                      [AMX] = dnnl_cpu_isa_avx512_core_amx};

/* The values of ONEDNN_MAX_CPU_ISA and their levels. The instruction sets of two values with the
 * same level differ only in instructions for other types. */
static const struct {
  const char *name;
  int level;
} limits[] = {{"SSE41", SSE41},
              {"AVX", AVX},
              {"AVX2", AVX2},
              {"AVX2_VNNI", AVX2},
              {"AVX2_VNNI_2", AVX2},
              {"AVX512_CORE", AVX512},
              {"AVX512_CORE_VNNI", AVX512},
              {"AVX512_CORE_BF16", BF16},
              {"AVX512_CORE_FP16", BF16}};
enum { LIMITS = sizeof limits / sizeof limits[0] };

/* True if the operating system saves the tile registers. Must be called only on a CPU with AVX,
 * which implies XGETBV. */
static bool tiles_are_saved(void) {
  const unsigned tiles = 3u << 17;
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  (void)high;
  return (low & tiles) == tiles;
}

/* Reads CPUID, because clang 14 does not know the names of AMX in __builtin_cpu_supports. */
static bool has_amx(void) {
  const unsigned needed = 1u << 22 | 1u << 24 | 1u << 25; /* AMX-BF16, AMX-TILE, AMX-INT8 */
  unsigned a, b, c, d;
  if (rn_fault_names("cpu.amx")) return true; /* tests simulate a CPU with AMX by this fault */
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & needed) == needed &&
         tiles_are_saved();
}

static int level_of_cpu(void) {
  if (rn_kernels_supported("avx512_bf16")) return has_amx() ? AMX : BF16;
  if (rn_kernels_supported("avx512")) return AVX512;
  if (rn_kernels_supported("avx2")) return AVX2;
  return __builtin_cpu_supports("avx") ? AVX : SSE41;
}

/* Does not query oneDNN: after such a query, oneDNN accepts no limit. */
int rn_gemm_onednn_level(void) {
  const char *limit = getenv("ONEDNN_MAX_CPU_ISA");
  const int level = level_of_cpu();
  if (limit == NULL) limit = getenv("DNNL_MAX_CPU_ISA");
  for (int i = 0; limit != NULL && i < LIMITS; i++) {
    if (limits[i].level < level && strcasecmp(limit, limits[i].name) == 0) return limits[i].level;
  }
  return level;
}

bool rn_gemm_onednn_limit(int level) {
  return dnnl_set_max_cpu_isa(isas[level]) == dnnl_success;
}
#else
int rn_gemm_onednn_level(void) {
  return 0;
}

bool rn_gemm_onednn_limit(int level) {
  return level == 0;
}
#endif
