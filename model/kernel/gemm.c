/* Selects the gemm backend: the configured one, or the AUTO choice. */
#include "model/kernel/gemm.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "model/base/blas.h"
#include "model/kernel/gemm_backends.h"

static const rn_gemm_backend *const backends[] = {
    &rn_gemm_cblas,
#ifdef RN_HAVE_ONEDNN_GEMM
    &rn_gemm_onednn,
#endif
};

/* All backends that AUTO can select for fp32. */
static const rn_gemm_backend *const fp32_backends[] = {
    &rn_gemm_cblas,
#ifdef RN_HAVE_ONEDNN_GEMM
    &rn_gemm_onednn,
    &rn_gemm_onednn_nt,
#endif
};

static const rn_gemm_backend *in_use;

/* The reason why this process must not use bf16, as passed to rn_gemm_bf16_disable; "" if there is
 * none. */
static char not_everywhere[256];

#ifdef RN_HAVE_ONEDNN_GEMM
/* A copy of the AUTO backend with bf16 products added. */
static rn_gemm_backend with_bf16;
#endif

#if defined(RN_HAVE_ONEDNN_GEMM) && defined(__x86_64__)
/* True if the CBLAS library is OpenBLAS with fast kernels for this CPU. False for other libraries,
 * because their speed has not been measured. */
static bool has_fast_openblas(void) {
  char text[256];
  return rn_blas_table()->core_name != NULL && rn_blas_chosen(text, sizeof text) != RN_BLAS_SLOW;
}
#endif

/* Returns the AUTO choice: the backend that is fastest on this type of CPU. */
static const rn_gemm_backend *by_rule(void) {
#if defined(RN_HAVE_ONEDNN_GEMM) && defined(__x86_64__)
  if (rn_gemm_onednn_has_avx512()) return &rn_gemm_onednn;
  if (__builtin_cpu_supports("avx2")) {
    return has_fast_openblas() ? &rn_gemm_onednn_nt : &rn_gemm_onednn;
  }
#endif
  return &rn_gemm_cblas;
}

const rn_gemm_backend *rn_gemm_backend_in_use(void) {
  return in_use != NULL ? in_use : by_rule();
}

bool rn_gemm_takes_bf16(void) {
  return rn_gemm_backend_in_use()->bf16_nt != NULL;
}

static void gemm_reals(const rn_gemm_backend *table, rn_gemm_kind kind, int m, int n, int k,
                       const rn_real *a, int64_t lda, const rn_real *b, int64_t ldb, rn_real beta,
                       rn_real *c, int64_t ldc) {
  rn_gemm_fn *const gemm[] = {[RN_GEMM_NN] = table->nn,
                              [RN_GEMM_NT] = table->nt,
                              [RN_GEMM_TN] = table->tn,
                              [RN_GEMM_NT_FP64_ACCUMULATE] = table->nt_fp64_accumulate};
  gemm[kind](m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}

void rn_gemm_by(const rn_gemm_backend *table, rn_gemm_kind kind, int m, int n, int k, rn_array a,
                int64_t lda, rn_array b, int64_t ldb, rn_real beta, rn_array c, int64_t ldc) {
  if (!a.bf16) {
    gemm_reals(table, kind, m, n, k, rn_array_reals(a), lda, rn_array_reals(b), ldb, beta,
               rn_array_reals(c), ldc);
    return;
  }
  rn_gemm_bf16_fn *const gemm[] = {[RN_GEMM_NN] = table->bf16_nn,
                                   [RN_GEMM_NT] = table->bf16_nt,
                                   [RN_GEMM_TN] = table->bf16_tn,
                                   [RN_GEMM_NT_FP64_ACCUMULATE] = table->bf16_nt,
                                   [RN_GEMM_PACKED] = table->bf16_packed};
  gemm[kind](m, n, k, rn_array_bf16s(a), lda, rn_array_bf16s(b), ldb, beta, c, ldc);
}

void rn_gemm(rn_gemm_kind kind, int m, int n, int k, rn_array a, int64_t lda, rn_array b,
             int64_t ldb, rn_real beta, rn_array c, int64_t ldc) {
  rn_gemm_by(rn_gemm_backend_in_use(), kind, m, n, k, a, lda, b, ldb, beta, c, ldc);
}

/* Returns the backend with bf16 products, or NULL with the reason in *lack. */
static const rn_gemm_backend *in_bf16(const char **lack) {
#ifdef RN_HAVE_ONEDNN_GEMM
  if (not_everywhere[0] != '\0') {
    *lack = not_everywhere;
    return NULL;
  }
  if (rn_gemm_bf16_supported()) {
    with_bf16 = *by_rule();
    rn_gemm_bf16_enter(&with_bf16);
    return &with_bf16;
  }
  *lack = "this CPU has no bf16 instructions";
#else
  *lack = "this build has no oneDNN (libdnnl-dev)";
#endif
  return NULL;
}

const char *rn_gemm_bf16_lack(void) {
  const char *lack = NULL;
  (void)in_bf16(&lack);
  return lack;
}

void rn_gemm_bf16_disable(const char *reason) {
  snprintf(not_everywhere, sizeof not_everywhere, "%s", reason);
}

static rn_status use_bf16(rn_err *err, Retnet__Products products, const char **lack) {
  if (products == RETNET__PRODUCTS__PRODUCTS_OPENBLAS) {
    return rn_fail(err, RN_ERR_USAGE,
                   "train.precision: OpenBLAS does not support bf16; set model.products to auto");
  }
  in_use = in_bf16(lack);
  if (in_use == NULL) in_use = by_rule();
  return RN_OK;
}

rn_status rn_gemm_backend_use(rn_err *err, Retnet__Products products, Retnet__Precision precision,
                              const char **lack) {
  *lack = NULL;
  if (precision == RETNET__PRECISION__PRECISION_BF16) return use_bf16(err, products, lack);
  in_use = by_rule();
  if (products == RETNET__PRODUCTS__PRODUCTS_OPENBLAS) in_use = &rn_gemm_cblas;
  if (products != RETNET__PRODUCTS__PRODUCTS_ONEDNN) return RN_OK;
#ifdef RN_HAVE_ONEDNN_GEMM
  in_use = &rn_gemm_onednn;
  return RN_OK;
#else
  return rn_fail(err, RN_ERR_USAGE,
                 "model.products: this build has no onednn; set the key to auto, or install "
                 "oneDNN (libdnnl-dev) and build again");
#endif
}

int rn_gemm_vector_level(void) {
#ifdef RN_HAVE_ONEDNN_GEMM
  return rn_gemm_onednn_level();
#else
  return 0;
#endif
}

bool rn_gemm_limit_vectors(int level) {
#ifdef RN_HAVE_ONEDNN_GEMM
  return rn_gemm_onednn_limit(level);
#else
  return level == 0;
#endif
}

bool rn_gemm_backend_use_named(const char *name) {
  for (size_t i = 0; i < sizeof fp32_backends / sizeof fp32_backends[0]; i++) {
    if (strcmp(fp32_backends[i]->name, name) != 0) continue;
    in_use = fp32_backends[i];
    return true;
  }
  return false;
}

const rn_gemm_backend *rn_gemm_backend_at(int index) {
#ifdef RN_HAVE_ONEDNN_GEMM
  if (in_use == &with_bf16) return index == 0 ? in_use : NULL;
#endif
  const int count = (int)(sizeof backends / sizeof backends[0]);
  return index < count ? backends[index] : NULL;
}

const rn_gemm_backend *rn_gemm_backend_swap(const rn_gemm_backend *table) {
  const rn_gemm_backend *before = rn_gemm_backend_in_use();
  in_use = table;
  return before;
}
