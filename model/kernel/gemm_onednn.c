/* Computes products with oneDNN, which generates code for each shape at the first call. */
#include <oneapi/dnnl/dnnl.h>

#include "model/kernel/gemm_backends.h"

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
