/**
 * The table of matrix products: small single-threaded calls that everything else is cut into.
 *
 * A provider fills the whole table; who calls it cuts work over threads. Calls must come from
 * inside a parallel region (or a process of one thread): some BLAS flavours otherwise start threads
 * of their own, and bits would depend on their number.
 */
#ifndef RN_MODEL_KERNEL_PRODUCTS_H
#define RN_MODEL_KERNEL_PRODUCTS_H

#include <stdbool.h>
#include <stdint.h>

#include "model/array.h"
#include "model/names.h"
#include "proto/config.pb-c.h"
#include "proto/real.h"
#include "proto/status.h"

/** c [m, n] = alpha op(a) op(b) + beta c, summed over k; row-major, ld = distance between rows. */
typedef void rn_gemm(int m, int n, int k, rn_real alpha, const rn_real *a, int64_t lda,
                     const rn_real *b, int64_t ldb, rn_real beta, rn_real *c, int64_t ldc);

/** The same of bf16 operands, summed in single precision; beta is 0 or 1, alpha is 1. */
typedef void rn_gemm_half(int m, int n, int k, const rn_half *a, int64_t lda, const rn_half *b,
                          int64_t ldb, rn_real beta, rn_array c, int64_t ldc);

/** The longest sum that nt_exact makes. */
enum { RN_EXACT_SUM = 64 };

typedef struct rn_products {
  const char *name;
  rn_gemm *nn; /* a [m, k], b [k, n] */
  rn_gemm *nt; /* a [m, k], b [n, k] */
  rn_gemm *tn; /* a [k, m], b [k, n] */
  /** As nt for k <= RN_EXACT_SUM, every element summed in double and rounded once. */
  rn_gemm *nt_exact;
  /** As nn, nt, tn; all NULL in a table that leaves operands in rn_real. */
  rn_gemm_half *half_nn, *half_nt, *half_tn;
} rn_products;

typedef enum { RN_PRODUCT_NN, RN_PRODUCT_NT, RN_PRODUCT_TN, RN_PRODUCT_NT_EXACT } rn_product_kind;

/** The provider in use: that of rn_products_use, else the rule's. */
const rn_products *rn_products_table(void);

/** Whether operands are to be kept in bf16, since the provider in use multiplies them. */
bool rn_products_in_half(void);

/**
 * c = op(a) op(b) + beta c by the provider in use, or by another; a and b are of one type. In bf16
 * no sum is exact: NT_EXACT is NT.
 */
void rn_multiply(rn_product_kind kind, int m, int n, int k, rn_array a, int64_t lda, rn_array b,
                 int64_t ldb, rn_real beta, rn_array c, int64_t ldc);
void rn_multiply_by(const rn_products *table, rn_product_kind kind, int m, int n, int k, rn_array a,
                    int64_t lda, rn_array b, int64_t ldb, rn_real beta, rn_array c, int64_t ldc);

/**
 * Chooses the provider for this process, before any product is made.
 *
 * AUTO is a rule of the build, the precision and the CPU type alone: oneDNN where the CPU has
 * AVX2 and oneDNN is in the build; CBLAS elsewhere. BF16 adds products of bf16 operands, which are
 * oneDNN's; where the build or the CPU lacks them operands stay in single precision, and *lack says
 * why (else it is NULL). Errors: RN_ERR_USAGE, naming the key, for a provider that this build
 * lacks, or bf16 by OpenBLAS.
 */
rn_status rn_products_use(rn_err *err, Retnet__Products products, Retnet__Precision precision,
                          const char **lack);

/**
 * A provider of the precision in use by number, for tests and measuring; NULL beyond the last one
 * of this build.
 */
const rn_products *rn_products_provider(int number);

/** Uses another table from now on, for tests and measuring; gives back the one before it. */
const rn_products *rn_products_exchange(const rn_products *table);

#endif
