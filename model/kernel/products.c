/* Which provider makes the products: the one asked for, or the rule's. */
#include "model/kernel/products.h"

#include <stddef.h>

#include "model/kernel/providers.h"

static const rn_products *const providers[] = {
    &rn_products_cblas,
#ifdef RN_ONEDNN_SERVES
    &rn_products_onednn,
#endif
};

static const rn_products *in_use;

#ifdef RN_ONEDNN_SERVES
/* The rule's table, with products of bf16 operands. */
static rn_products with_halves;
#endif

static const rn_products *by_rule(void) {
#if defined(RN_ONEDNN_SERVES) && defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return &rn_products_onednn;
#endif
  return &rn_products_cblas;
}

const rn_products *rn_products_table(void) {
  return in_use != NULL ? in_use : by_rule();
}

bool rn_products_in_half(void) {
  return rn_products_table()->half_nt != NULL;
}

static void multiply_reals(const rn_products *table, rn_product_kind kind, int m, int n, int k,
                           const rn_real *a, int64_t lda, const rn_real *b, int64_t ldb,
                           rn_real beta, rn_real *c, int64_t ldc) {
  rn_gemm *const gemm[] = {[RN_PRODUCT_NN] = table->nn,
                           [RN_PRODUCT_NT] = table->nt,
                           [RN_PRODUCT_TN] = table->tn,
                           [RN_PRODUCT_NT_EXACT] = table->nt_exact};
  gemm[kind](m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}

void rn_multiply_by(const rn_products *table, rn_product_kind kind, int m, int n, int k, rn_array a,
                    int64_t lda, rn_array b, int64_t ldb, rn_real beta, rn_array c, int64_t ldc) {
  if (!a.half) {
    multiply_reals(table, kind, m, n, k, rn_array_reals(a), lda, rn_array_reals(b), ldb, beta,
                   rn_array_reals(c), ldc);
    return;
  }
  rn_gemm_half *const gemm[] = {[RN_PRODUCT_NN] = table->half_nn,
                                [RN_PRODUCT_NT] = table->half_nt,
                                [RN_PRODUCT_TN] = table->half_tn,
                                [RN_PRODUCT_NT_EXACT] = table->half_nt};
  gemm[kind](m, n, k, rn_array_halves(a), lda, rn_array_halves(b), ldb, beta, c, ldc);
}

void rn_multiply(rn_product_kind kind, int m, int n, int k, rn_array a, int64_t lda, rn_array b,
                 int64_t ldb, rn_real beta, rn_array c, int64_t ldc) {
  rn_multiply_by(rn_products_table(), kind, m, n, k, a, lda, b, ldb, beta, c, ldc);
}

/* bf16, or NULL with the reason why not. */
static const rn_products *in_bf16(const char **lack) {
#ifdef RN_ONEDNN_SERVES
  if (rn_products_bf16_serves()) {
    with_halves = *by_rule();
    rn_products_bf16_enter(&with_halves);
    return &with_halves;
  }
  *lack = "this CPU has no instructions for it";
#else
  *lack = "this build lacks oneDNN (libdnnl-dev)";
#endif
  return NULL;
}

static rn_status use_bf16(rn_err *err, Retnet__Products products, const char **lack) {
  if (products == RETNET__PRODUCTS__PRODUCTS_OPENBLAS) {
    return rn_fail(err, RN_ERR_USAGE,
                   "train.precision: bf16 is not OpenBLAS's: leave model.products at auto");
  }
  in_use = in_bf16(lack);
  if (in_use == NULL) in_use = by_rule();
  return RN_OK;
}

rn_status rn_products_use(rn_err *err, Retnet__Products products, Retnet__Precision precision,
                          const char **lack) {
  *lack = NULL;
  if (precision == RETNET__PRECISION__PRECISION_BF16) return use_bf16(err, products, lack);
  in_use = by_rule();
  if (products == RETNET__PRODUCTS__PRODUCTS_OPENBLAS) in_use = &rn_products_cblas;
  if (products != RETNET__PRODUCTS__PRODUCTS_ONEDNN) return RN_OK;
#ifdef RN_ONEDNN_SERVES
  in_use = &rn_products_onednn;
  return RN_OK;
#else
  return rn_fail(err, RN_ERR_USAGE,
                 "model.products: onednn is not in this build; leave it at auto, or install "
                 "oneDNN (libdnnl-dev) and build again");
#endif
}

const rn_products *rn_products_provider(int number) {
#ifdef RN_ONEDNN_SERVES
  if (in_use == &with_halves) return number == 0 ? in_use : NULL;
#endif
  const int count = (int)(sizeof providers / sizeof providers[0]);
  return number < count ? providers[number] : NULL;
}

const rn_products *rn_products_exchange(const rn_products *table) {
  const rn_products *before = rn_products_table();
  in_use = table;
  return before;
}
