/** The providers of matrix products that this build has. */
#ifndef RN_MODEL_KERNEL_PROVIDERS_H
#define RN_MODEL_KERNEL_PROVIDERS_H

#include <stdbool.h>

#include "model/kernel/products.h"

#define rn_products_cblas RN_NAME(rn_products_cblas)

/** Any CBLAS. */
extern const rn_products rn_products_cblas;

#if defined(RN_HAVE_ONEDNN) && !defined(RN_REAL_F64)
#define RN_ONEDNN_SERVES 1

/** oneDNN's dnnl_sgemm; what it lacks is CBLAS's. */
extern const rn_products rn_products_onednn;

/** Each product by the one of the two that is faster at it. */
extern const rn_products rn_products_mixed;

/** Operands rounded to bf16, sums in single precision, by oneDNN; and whether this CPU has it. */
extern const rn_products rn_products_bf16;
bool rn_products_bf16_serves(void);
#endif

#endif
