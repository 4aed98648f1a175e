/**
 * The gemm backends: tables of single-threaded matrix products, which all larger products call.
 *
 * A backend fills the whole table; the caller splits the work over threads. Calls must come from
 * inside a parallel region (or from a single-threaded process): otherwise some BLAS libraries start
 * threads of their own, and bits would depend on their number.
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

/** c [m, n] = alpha op(a) op(b) + beta c, summed over k; row-major, ld = row stride. */
typedef void rn_gemm_fn(int m, int n, int k, rn_real alpha, const rn_real *a, int64_t lda,
                        const rn_real *b, int64_t ldb, rn_real beta, rn_real *c, int64_t ldc);

/** The same with bf16 operands, summed in single precision; beta is 0 or 1, alpha is 1. */
typedef void rn_gemm_bf16_fn(int m, int n, int k, const rn_bf16 *a, int64_t lda, const rn_bf16 *b,
                             int64_t ldb, rn_real beta, rn_array c, int64_t ldc);

typedef struct rn_gemm_backend {
  const char *name;
  rn_gemm_fn *nn; /* a [m, k], b [k, n] */
  rn_gemm_fn *nt; /* a [m, k], b [n, k] */
  rn_gemm_fn *tn; /* a [k, m], b [k, n] */
  /** As nt for k <= RN_FP64_SUM_MAX; each element is summed in double and rounded once. */
  rn_gemm_fn *nt_fp64_accumulate;
  /** As nn, nt, tn; all NULL in a backend without bf16. */
  rn_gemm_bf16_fn *bf16_nn, *bf16_nt, *bf16_tn;
} rn_gemm_backend;

typedef enum { RN_GEMM_NN, RN_GEMM_NT, RN_GEMM_TN, RN_GEMM_NT_FP64_ACCUMULATE } rn_gemm_kind;

/** The backend in use: the one set by rn_gemm_backend_use, else the AUTO choice. */
const rn_gemm_backend *rn_gemm_backend_in_use(void);

/** True if the backend in use multiplies bf16 operands; callers then store them in bf16. */
bool rn_gemm_takes_bf16(void);

/**
 * c = op(a) op(b) + beta c by the backend in use, or by `table`; a and b are of one type. With bf16
 * operands RN_GEMM_NT_FP64_ACCUMULATE is the same as RN_GEMM_NT.
 */
void rn_gemm(rn_gemm_kind kind, int m, int n, int k, rn_array a, int64_t lda, rn_array b,
             int64_t ldb, rn_real beta, rn_array c, int64_t ldc);
void rn_gemm_by(const rn_gemm_backend *table, rn_gemm_kind kind, int m, int n, int k, rn_array a,
                int64_t lda, rn_array b, int64_t ldb, rn_real beta, rn_array c, int64_t ldc);

/**
 * Chooses the backend for this process; call before the first product.
 *
 * AUTO depends on the build, the precision and the CPU type alone. If oneDNN is in the build: with
 * AVX-512, oneDNN; with AVX2, oneDNN for NT products and OpenBLAS for NN and TN. Else CBLAS. BF16
 * adds oneDNN's products of bf16 operands; if the build or the CPU lacks them, operands stay in
 * single precision and *lack gives the reason (else it is NULL). Errors: RN_ERR_USAGE, naming the
 * key, for a backend that is not in this build, or for bf16 with OpenBLAS.
 */
rn_status rn_gemm_backend_use(rn_err *err, Retnet__Products products, Retnet__Precision precision,
                              const char **lack);

/** Uses the fp32 backend of this name ("onednn+openblas": a checkpoint's choice) from now on.
 * Returns false, and changes nothing, if this build has none. */
bool rn_gemm_backend_use_named(const char *name);

/**
 * Backend `index` for the precision in use, for tests and benchmarks; NULL after the last one of
 * this build.
 */
const rn_gemm_backend *rn_gemm_backend_at(int index);

/** Uses another backend from now on, for tests and benchmarks; returns the previous one. */
const rn_gemm_backend *rn_gemm_backend_swap(const rn_gemm_backend *table);

#endif
