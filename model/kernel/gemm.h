/**
 * The table of matrix products: small single-threaded calls that everything else is cut into.
 *
 * A provider fills the whole table; who calls it cuts work over threads. Calls must come from
 * inside a parallel region (or a process of one thread): some BLAS flavours otherwise start threads
 * of their own, and bits would depend on their number.
 */
#ifndef RN_MODEL_KERNEL_GEMM_H
#define RN_MODEL_KERNEL_GEMM_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/kernel/kernels.h"
#include "proto/base/real.h"
#include "proto/base/status.h"
#include "proto/schema/config.pb-c.h"

/** c [m, n] = alpha op(a) op(b) + beta c, summed over k; row-major, ld = distance between rows. */
typedef void rn_gemm_fn(int m, int n, int k, rn_real alpha, const rn_real *a, int64_t lda,
                        const rn_real *b, int64_t ldb, rn_real beta, rn_real *c, int64_t ldc);

/** The same of bf16 operands, summed in single precision; beta is 0 or 1, alpha is 1. */
typedef void rn_gemm_bf16_fn(int m, int n, int k, const rn_bf16 *a, int64_t lda, const rn_bf16 *b,
                             int64_t ldb, rn_real beta, rn_array c, int64_t ldc);

typedef struct rn_gemm_backend {
  const char *name;
  rn_gemm_fn *nn; /* a [m, k], b [k, n] */
  rn_gemm_fn *nt; /* a [m, k], b [n, k] */
  rn_gemm_fn *tn; /* a [k, m], b [k, n] */
  /** As nt for k <= RN_FP64_SUM_MAX, every element summed in double and rounded once. */
  rn_gemm_fn *nt_fp64_accumulate;
  /** As nn, nt, tn; all NULL in a table that leaves operands in rn_real. */
  rn_gemm_bf16_fn *bf16_nn, *bf16_nt, *bf16_tn;
} rn_gemm_backend;

typedef enum { RN_GEMM_NN, RN_GEMM_NT, RN_GEMM_TN, RN_GEMM_NT_FP64_ACCUMULATE } rn_gemm_kind;

/** The provider in use: that of rn_gemm_backend_use, else the rule's. */
const rn_gemm_backend *rn_gemm_backend_in_use(void);

/** Whether operands are to be kept in bf16, since the provider in use multiplies them. */
bool rn_gemm_takes_bf16(void);

/**
 * c = op(a) op(b) + beta c by the provider in use, or by another; a and b are of one type. In bf16
 * no sum is exact: NT_EXACT is NT.
 */
void rn_gemm(rn_gemm_kind kind, int m, int n, int k, rn_array a, int64_t lda, rn_array b,
             int64_t ldb, rn_real beta, rn_array c, int64_t ldc);
void rn_gemm_by(const rn_gemm_backend *table, rn_gemm_kind kind, int m, int n, int k, rn_array a,
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
rn_status rn_gemm_backend_use(rn_err *err, Retnet__Products products, Retnet__Precision precision,
                              const char **lack);

/**
 * A provider of the precision in use by number, for tests and measuring; NULL beyond the last one
 * of this build.
 */
const rn_gemm_backend *rn_gemm_backend_at(int number);

/** Uses another table from now on, for tests and measuring; gives back the one before it. */
const rn_gemm_backend *rn_gemm_backend_swap(const rn_gemm_backend *table);

#endif
