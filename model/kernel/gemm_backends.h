/** The gemm backends of this build. */
#ifndef RN_MODEL_KERNEL_GEMM_BACKENDS_H
#define RN_MODEL_KERNEL_GEMM_BACKENDS_H

#include <stdbool.h>

#include "model/kernel/gemm.h"

#define rn_gemm_cblas RN_NAME(rn_gemm_cblas)

/** Any CBLAS. */
extern const rn_gemm_backend rn_gemm_cblas;

#if defined(RN_HAVE_ONEDNN) && !defined(RN_REAL_F64)
#define RN_HAVE_ONEDNN_GEMM 1

/** oneDNN's dnnl_sgemm; calls that it cannot do go to CBLAS. */
extern const rn_gemm_backend rn_gemm_onednn;

/**
 * NT products by oneDNN, NN and TN products by CBLAS. Without AVX-512, oneDNN's kernels for NN and
 * TN reach 48 and 33 % of OpenBLAS's rate, those for NT 100 to 105 % (oneDNN 2.6, OpenBLAS 0.3.21,
 * one thread, 256x512x1024).
 */
extern const rn_gemm_backend rn_gemm_onednn_nt;

/** True if oneDNN uses AVX-512 in fp32 products on this CPU. */
bool rn_gemm_onednn_has_avx512(void);

/** True if oneDNN multiplies bf16 operands on this CPU; and adds its bf16 products to a table. */
bool rn_gemm_bf16_supported(void);
void rn_gemm_bf16_enter(rn_gemm_backend *table);
#endif

#endif
