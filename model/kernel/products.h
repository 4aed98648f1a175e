/**
 * The table of matrix products: small single-threaded calls that everything else is cut into.
 *
 * A provider fills the whole table; who calls it cuts work over threads. Calls must come from
 * inside a parallel region (or a process of one thread): some BLAS flavours otherwise start threads
 * of their own, and bits would depend on their number.
 */
#ifndef RN_MODEL_KERNEL_PRODUCTS_H
#define RN_MODEL_KERNEL_PRODUCTS_H

#include <stdint.h>

#include "model/names.h"
#include "proto/real.h"

/** c [m, n] = alpha op(a) op(b) + beta c, summed over k; row-major, ld = distance between rows. */
typedef void rn_gemm(int m, int n, int k, rn_real alpha, const rn_real *a, int64_t lda,
                     const rn_real *b, int64_t ldb, rn_real beta, rn_real *c, int64_t ldc);

/** The longest sum that nt_exact makes. */
enum { RN_EXACT_SUM = 64 };

typedef struct rn_products {
  const char *name;
  rn_gemm *nn; /* a [m, k], b [k, n] */
  rn_gemm *nt; /* a [m, k], b [n, k] */
  rn_gemm *tn; /* a [k, m], b [k, n] */
  /** As nt for k <= RN_EXACT_SUM, every element summed in double and rounded once. */
  rn_gemm *nt_exact;
} rn_products;

/** The provider in use: CBLAS. */
const rn_products *rn_products_table(void);

#endif
