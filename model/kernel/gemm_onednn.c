/* Computes products with oneDNN, which generates code for each shape at the first call. */
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

#include "model/kernel/gemm_backends.h"
#include "model/kernel/kernels.h"

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
/* The sets of instructions among which oneDNN chooses its fp32 products, with the names that
 * ONEDNN_MAX_CPU_ISA accepts. */
static const struct {
  const char *name;
  dnnl_cpu_isa_t isa;
} levels[] = {{"SSE41", dnnl_cpu_isa_sse41},
              {"AVX", dnnl_cpu_isa_avx},
              {"AVX2", dnnl_cpu_isa_avx2},
              {"AVX512_CORE", dnnl_cpu_isa_avx512_core}};
enum { SSE41, AVX, AVX2, AVX512, LEVELS };

static int level_of_cpu(void) {
  if (rn_kernels_supported("avx512")) return AVX512;
  if (rn_kernels_supported("avx2")) return AVX2;
  return __builtin_cpu_supports("avx") ? AVX : SSE41;
}

/* Does not query oneDNN: after such a query, oneDNN accepts no limit. */
int rn_gemm_onednn_level(void) {
  const char *limit = getenv("ONEDNN_MAX_CPU_ISA");
  const int level = level_of_cpu();
  if (limit == NULL) limit = getenv("DNNL_MAX_CPU_ISA");
  for (int i = 0; limit != NULL && i < level; i++) {
    if (strcmp(limit, levels[i].name) == 0) return i;
  }
  return level;
}

bool rn_gemm_onednn_limit(int level) {
  return dnnl_set_max_cpu_isa(levels[level].isa) == dnnl_success;
}
#else
int rn_gemm_onednn_level(void) {
  return 0;
}

bool rn_gemm_onednn_limit(int level) {
  return level == 0;
}
#endif
