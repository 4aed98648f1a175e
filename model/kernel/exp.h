/**
 * Defines exp for rn_real, written so that compilers vectorize it. Vector lanes and the scalar
 * remainder of a loop give the same bits.
 */
#ifndef RN_MODEL_KERNEL_EXP_H
#define RN_MODEL_KERNEL_EXP_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/real.h"

#ifdef RN_REAL_F64
/** Returns exp(x) in double precision, computed by the C library. */
static inline double rn_exp(double x) {
  return exp(x);
}
#else
/**
 * Returns exp(x), accurate to 2 units in the last place. x is clamped to [-87, 88], where exp is
 * finite and normal; NaN stays NaN.
 *
 *   x = n log 2 + r, |r| <= log(2)/2:  exp(x) = 2^n (1 + r + ... + r^7/7!)
 *
 * Adding 1.5 * 2^23 rounds x / log 2 to an integer, which is then in the low bits of the sum.
 */
static inline float rn_exp(float x) {
  const float rounder = 12582912.0f, log2_high = 0.693359375f, log2_low = -2.12194440e-4f;
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  float shifted = x * 1.44269504f + rounder;
  float n = shifted - rounder;
  float r = (x - n * log2_high) - n * log2_low;
  float sum = 1.0f / 5040;
  sum = sum * r + 1.0f / 720;
  sum = sum * r + 1.0f / 120;
  sum = sum * r + 1.0f / 24;
  sum = sum * r + 1.0f / 6;
  sum = sum * r + 0.5f;
  sum = sum * r + 1.0f;
  sum = sum * r + 1.0f;
  uint32_t bits, rounder_bits;
  memcpy(&bits, &shifted, sizeof bits);
  memcpy(&rounder_bits, &rounder, sizeof rounder_bits);
  bits = (bits - rounder_bits + 127) << 23;
  float power;
  memcpy(&power, &bits, sizeof power);
  return sum * power;
}
#endif

#endif
