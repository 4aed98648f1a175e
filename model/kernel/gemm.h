/**
 * A gemm backend is a table of single-threaded matrix products, on which all larger products are
 * built.
 *
 * A backend provides all functions of the table except those that may be NULL; the caller splits
 * the work over threads. Calls must come from inside a parallel region (or from a single-threaded
 * process): otherwise some BLAS libraries start threads of their own, and results would depend on
 * the number of those threads.
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

/** Computes c [m, n] = alpha op(a) op(b) + beta c, summed over k; row-major, ld = row stride. */
typedef void rn_gemm_fn(int m, int n, int k, rn_real alpha, const rn_real *a, int64_t lda,
                        const rn_real *b, int64_t ldb, rn_real beta, rn_real *c, int64_t ldc);

/** Does the same as rn_gemm_fn with bf16 operands, summed in single precision; alpha is 1, beta is
 * 0 or 1. */
typedef void rn_gemm_bf16_fn(int m, int n, int k, const rn_bf16 *a, int64_t lda, const rn_bf16 *b,
                             int64_t ldb, rn_real beta, rn_array c, int64_t ldc);

typedef struct rn_gemm_backend {
  const char *name;
  rn_gemm_fn *nn; /* a [m, k], b [k, n] */
  rn_gemm_fn *nt; /* a [m, k], b [n, k] */
  rn_gemm_fn *tn; /* a [k, m], b [k, n] */
  /** Does the same as nt, but computes each element in double and rounds it once; k <=
   * RN_FP64_SUM_MAX. */
  rn_gemm_fn *nt_fp64_accumulate;
  /** The same products with bf16 operands; all three are NULL in a backend without bf16. */
  rn_gemm_bf16_fn *bf16_nn, *bf16_nt, *bf16_tn;
  /** Returns true if nn with a transposed copy of b is faster than nt on this CPU
   * (model/kernel/gemm_pack.h). NULL if nn is never faster. */
  bool (*transposes)(void);
  /** Does the same as bf16_nt with a packed b (model/kernel/gemm_pack.h). `b` points to the panel
   * that contains the first column to multiply, and `ldb` is the index of this column in the panel.
   * NULL if the backend does not pack weights. */
  rn_gemm_bf16_fn *bf16_packed;
  /** True if products in bf16 use the tile registers of AMX. The kernels of model/kernel/kernels.h
   * do not use these registers. */
  bool bf16_by_tiles;
} rn_gemm_backend;

/** The kinds of products. RN_GEMM_PACKED selects bf16_packed. */
typedef enum {
  RN_GEMM_NN,
  RN_GEMM_NT,
  RN_GEMM_TN,
  RN_GEMM_NT_FP64_ACCUMULATE,
  RN_GEMM_PACKED
} rn_gemm_kind;

/** Returns the backend in use: the one set by rn_gemm_backend_use, or else the AUTO choice. */
const rn_gemm_backend *rn_gemm_backend_in_use(void);

/** Returns the reason why this process cannot multiply in bf16, or NULL if it can. */
const char *rn_gemm_bf16_lack(void);

/** From now on, this process does not multiply in bf16: rn_gemm_bf16_lack returns a copy of
 * `reason`, and rn_gemm_backend_use sets *lack to it. Call if another process of the run cannot
 * multiply in bf16. */
void rn_gemm_bf16_disable(const char *reason);

/** True if the backend in use multiplies bf16 operands; callers then store them in bf16. */
bool rn_gemm_takes_bf16(void);

/**
 * Computes c = op(a) op(b) + beta c with the backend in use. a and b must have the same type. With
 * bf16 operands RN_GEMM_NT_FP64_ACCUMULATE is the same as RN_GEMM_NT.
 */
void rn_gemm(rn_gemm_kind kind, int m, int n, int k, rn_array a, int64_t lda, rn_array b,
             int64_t ldb, rn_real beta, rn_array c, int64_t ldc);
/** Does the same as rn_gemm, with the backend `table`. */
void rn_gemm_by(const rn_gemm_backend *table, rn_gemm_kind kind, int m, int n, int k, rn_array a,
                int64_t lda, rn_array b, int64_t ldb, rn_real beta, rn_array c, int64_t ldc);

/**
 * Chooses the backend for this process; call before the first product.
 *
 * The AUTO choice depends only on the build, the precision and the CPU type. If the build has
 * oneDNN, AUTO selects oneDNN on CPUs with AVX-512. On other CPUs with AVX2, it selects oneDNN for
 * NT products and OpenBLAS for NN and TN products, or oneDNN alone if there is no OpenBLAS with
 * fast kernels. In all other cases, it selects CBLAS. With precision BF16, products also take bf16
 * operands, and oneDNN computes them. If the build or the CPU does not support this, operands stay
 * in single precision and *lack is the reason; otherwise *lack is NULL. Errors: RN_ERR_USAGE,
 * naming the key, for a backend that is not in this build, or for bf16 with OpenBLAS.
 */
rn_status rn_gemm_backend_use(rn_err *err, Retnet__Products products, Retnet__Precision precision,
                              const char **lack);

/**
 * Returns the level of the instruction set that oneDNN uses for fp32 and bf16 on this CPU: the
 * higher the level, the wider or more special the instructions. 0 if this build has no oneDNN.
 * Results depend on the level.
 */
int rn_gemm_vector_level(void);

/**
 * Limits oneDNN to the instructions of this level, which must be at most the level of this CPU.
 * Returns false if oneDNN refuses, because it has been used before. Call it before any other
 * function of this file except rn_gemm_vector_level.
 */
bool rn_gemm_limit_vectors(int level);

/** Uses the fp32 backend of the given name from now on; the name comes from a checkpoint, for
 * example "onednn+openblas". Returns false and changes nothing if this build has no such backend.
 * */
bool rn_gemm_backend_use_named(const char *name);

/**
 * Returns backend `index` for the precision in use, for tests and benchmarks; NULL if this build
 * has no such backend.
 */
const rn_gemm_backend *rn_gemm_backend_at(int index);

/** Replaces the backend in use, for tests and benchmarks; returns the previous backend. */
const rn_gemm_backend *rn_gemm_backend_swap(const rn_gemm_backend *table);

#endif
