/* Converts numbers with integer operations on their bits, so that the result does not depend on the
 * floating-point environment. (The programs of this project flush subnormal numbers to zero.) */
#include "data/exchange/float_types.h"

#include <assert.h>
#include <string.h>

enum { F32_INFINITY = 0x7f800000, F16_INFINITY = 0x7c00, BF16_INFINITY = 0x7f80 };

static uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static float from_f16(uint16_t stored) {
  const uint32_t sign = (uint32_t)(stored & 0x8000) << 16;
  const uint32_t exponent = stored >> 10 & 31, fraction = stored & 0x3ff;
  if (exponent == 31) return float_of(sign | F32_INFINITY | fraction << 13);
  if (exponent > 0) return float_of(sign | (exponent + 112) << 23 | fraction << 13);
  const float magnitude = (float)fraction * 0x1p-24f;
  return sign != 0 ? -magnitude : magnitude;
}

/* Returns mantissa / 2^shift, rounded to nearest even; 0 < shift < 32. */
static uint32_t shift_rounded(uint32_t mantissa, uint32_t shift) {
  const uint32_t quotient = mantissa >> shift, rest = mantissa & ((1u << shift) - 1);
  const uint32_t half = 1u << (shift - 1);
  return quotient + (rest > half || (rest == half && (quotient & 1) == 1));
}

static uint16_t to_f16(float value) {
  enum { MIN_NORMAL = 0x38800000, HALF_OF_SMALLEST = 0x33000000, TOO_LARGE = 0x477ff000 };
  const uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
  if (size > F32_INFINITY) return (uint16_t)(sign | 0x7e00 | (size >> 13 & 0x3ff));
  if (size >= TOO_LARGE) return (uint16_t)(sign | F16_INFINITY);
  if (size >= MIN_NORMAL) return (uint16_t)(sign | shift_rounded(size - (112u << 23), 13));
  if (size < HALF_OF_SMALLEST) return (uint16_t)sign;
  const uint32_t mantissa = (size & 0x7fffff) | 0x800000;
  return (uint16_t)(sign | shift_rounded(mantissa, 126 - (size >> 23)));
}

static uint16_t to_bf16(float value) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffff) > F32_INFINITY) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)(bits >> 31 << 15 | shift_rounded(bits & 0x7fffffff, 16));
}

bool rn_floats_has(rn_safetensors_type type) {
  return type == RN_SAFETENSORS_F32 || type == RN_SAFETENSORS_F16 || type == RN_SAFETENSORS_BF16;
}

void rn_floats_from(rn_safetensors_type type, const void *stored, int64_t count, float *values) {
  assert(rn_floats_has(type));
  if (type == RN_SAFETENSORS_F32) {
    memcpy(values, stored, (size_t)count * sizeof *values);
    return;
  }
  for (int64_t i = 0; i < count; i++) {
    uint16_t element;
    memcpy(&element, (const char *)stored + (size_t)i * sizeof element, sizeof element);
    values[i] = type == RN_SAFETENSORS_F16 ? from_f16(element) : float_of((uint32_t)element << 16);
  }
}

int64_t rn_floats_to(rn_safetensors_type type, const float *values, int64_t count, void *stored) {
  assert(rn_floats_has(type));
  if (type == RN_SAFETENSORS_F32) {
    memcpy(stored, values, (size_t)count * sizeof *values);
    return 0;
  }
  const bool f16 = type == RN_SAFETENSORS_F16;
  const uint16_t infinity = f16 ? F16_INFINITY : BF16_INFINITY;
  int64_t too_large = 0;
  for (int64_t i = 0; i < count; i++) {
    const uint16_t element = f16 ? to_f16(values[i]) : to_bf16(values[i]);
    const bool is_finite = (bits_of(values[i]) & 0x7fffffff) < F32_INFINITY;
    too_large += is_finite && (element & 0x7fff) == infinity;
    memcpy((char *)stored + (size_t)i * sizeof element, &element, sizeof element);
  }
  return too_large;
}
