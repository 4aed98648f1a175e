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
#include "proto/config.pb-c.h"
#include "proto/real.h"
#include "proto/status.h"

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

/** The provider in use: that of rn_products_use, else the rule's. */
const rn_products *rn_products_table(void);

/**
 * Chooses the provider for this process, before any product is made.
 *
 * AUTO is a rule of the build, the precision and the CPU type alone: oneDNN where the CPU has
 * AVX2 and oneDNN is in the build, with the long sums of weight gradients by CBLAS, which packs
 * them better; CBLAS elsewhere. BF16 rounds operands and is oneDNN's; where the build or the CPU
 * lacks it products are in single precision, and *lack says why (else it is NULL).
 * Errors: RN_ERR_USAGE, naming the key, for a provider that this build lacks, or bf16 by OpenBLAS.
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
