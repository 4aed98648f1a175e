/** Splits one weight product into tasks for a queue. */
#ifndef RN_MODEL_OPS_WEIGHT_PRODUCT_H
#define RN_MODEL_OPS_WEIGHT_PRODUCT_H

#include "model/ops/matmul.h"
#include "model/ops/weight_queue.h"

/** Returns the tasks of the product dw [n, k] = dy [R, n]^T x [R, k] + beta dw. */
rn_weight_sum rn_weight_product_sum(int64_t rows, const rn_tn_product *product, rn_real beta);

#endif
