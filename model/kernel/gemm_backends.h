/** Declares the gemm backends of this build. */
#ifndef RN_MODEL_KERNEL_GEMM_BACKENDS_H
#define RN_MODEL_KERNEL_GEMM_BACKENDS_H

#include <stdbool.h>

#include "model/kernel/gemm.h"

#define rn_gemm_cblas RN_NAME(rn_gemm_cblas)
#define rn_gemm_cblas_nn RN_NAME(rn_gemm_cblas_nn)
#define rn_gemm_cblas_tn RN_NAME(rn_gemm_cblas_tn)

/** Computes all products with the CBLAS library of the build. */
extern const rn_gemm_backend rn_gemm_cblas;

/** The functions of rn_gemm_cblas for NN and TN products, which other backends also use. */
rn_gemm_fn rn_gemm_cblas_nn, rn_gemm_cblas_tn;

#if defined(RN_HAVE_ONEDNN) && !defined(RN_REAL_F64)
#define RN_HAVE_ONEDNN_GEMM 1

/** Computes all products with oneDNN's dnnl_sgemm. If a call of dnnl_sgemm fails, computes the
 * product with CBLAS. */
extern const rn_gemm_backend rn_gemm_onednn;

/**
 * Computes NT products with oneDNN, and NN and TN products with CBLAS. Without AVX-512, oneDNN
 * reaches 48 % of OpenBLAS's rate for NN, 33 % for TN, and 100 to 105 % for NT (oneDNN 2.6,
 * OpenBLAS 0.3.21, one thread, 256x512x1024).
 */
extern const rn_gemm_backend rn_gemm_onednn_nt;

/** True if oneDNN uses AVX-512 in fp32 products on this CPU. */
bool rn_gemm_onednn_has_avx512(void);

/** Implement rn_gemm_vector_level and rn_gemm_limit_vectors for oneDNN. */
int rn_gemm_onednn_level(void);
bool rn_gemm_onednn_limit(int level);

/** True if oneDNN multiplies bf16 operands on this CPU. */
bool rn_gemm_bf16_supported(void);
/** Adds oneDNN's bf16 products to a table. */
void rn_gemm_bf16_enter(rn_gemm_backend *table);

/** True if oneDNN multiplies by packed weights with its fastest code. */
bool rn_gemm_bf16_packs(void);
/** Computes a product with a packed weight; see rn_gemm_backend.bf16_packed. */
rn_gemm_bf16_fn rn_gemm_bf16_packed;
#endif

#endif
