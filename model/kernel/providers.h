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

/** Whether oneDNN multiplies bf16 operands on this CPU; and enters its products into the table. */
bool rn_products_bf16_serves(void);
void rn_products_bf16_enter(rn_products *table);
#endif

#endif
