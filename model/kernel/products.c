#include "model/kernel/products.h"

#include <cblas.h>

#ifdef RN_REAL_F64
#define GEMM cblas_dgemm
#else
#define GEMM cblas_sgemm
#endif

static void gemm_nn(int m, int n, int k, rn_real alpha, const rn_real *a, int64_t lda,
                    const rn_real *b, int64_t ldb, rn_real beta, rn_real *c, int64_t ldc) {
  GEMM(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, alpha, a, (int)lda, b, (int)ldb, beta, c,
       (int)ldc);
}

static void gemm_nt(int m, int n, int k, rn_real alpha, const rn_real *a, int64_t lda,
                    const rn_real *b, int64_t ldb, rn_real beta, rn_real *c, int64_t ldc) {
  GEMM(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, alpha, a, (int)lda, b, (int)ldb, beta, c,
       (int)ldc);
}

static void gemm_tn(int m, int n, int k, rn_real alpha, const rn_real *a, int64_t lda,
                    const rn_real *b, int64_t ldb, rn_real beta, rn_real *c, int64_t ldc) {
  GEMM(CblasRowMajor, CblasTrans, CblasNoTrans, m, n, k, alpha, a, (int)lda, b, (int)ldb, beta, c,
       (int)ldc);
}

static const rn_products cblas_products = {"cblas", gemm_nn, gemm_nt, gemm_tn};

const rn_products *rn_products_table(void) {
  return &cblas_products;
}
