/** Converts between fp32 and the number formats of weights in files: F32, F16, BF16. */
#ifndef RN_DATA_EXCHANGE_FLOAT_TYPES_H
#define RN_DATA_EXCHANGE_FLOAT_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "data/exchange/safetensors.h"

/** True if rn_floats_from and rn_floats_to accept the type. */
bool rn_floats_has(rn_safetensors_type type);

/** Converts stored elements to fp32 exactly. */
void rn_floats_from(rn_safetensors_type type, const void *stored, int64_t count, float *values);

/**
 * Converts fp32 to stored elements; rounds to nearest, ties to even.
 *
 * Returns the number of finite values that are too large for the type and became infinite.
 */
int64_t rn_floats_to(rn_safetensors_type type, const float *values, int64_t count, void *stored);

#endif
