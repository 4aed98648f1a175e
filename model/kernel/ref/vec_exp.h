/** Defines exp for vectors, with fused multiply-adds. */
#ifndef RN_MODEL_KERNEL_REF_VEC_EXP_H
#define RN_MODEL_KERNEL_REF_VEC_EXP_H

#include <math.h>

#include "model/kernel/ref/lanes.h"

/** Returns x clamped to [low, high] in each lane; NaN stays NaN. */
static inline rn_vec rn_vec_clamp(const rn_vec *x, rn_real low, rn_real high) {
#if !defined(RN_REAL_F64) && defined(__AVX512F__)
  /* If an operand is NaN, these instructions return the second operand. */
  const __m512 raised = _mm512_max_ps(_mm512_set1_ps(low), (__m512)*x);
  return (rn_vec)_mm512_min_ps(_mm512_set1_ps(high), raised);
#elif !defined(RN_REAL_F64) && defined(__AVX__)
  const __m256 raised = _mm256_max_ps(_mm256_set1_ps(low), (__m256)*x);
  return (rn_vec)_mm256_min_ps(_mm256_set1_ps(high), raised);
#else
  rn_vec result = *x;
  for (int l = 0; l < RN_VEC; l++) {
    result[l] = result[l] < low ? low : result[l];
    result[l] = result[l] > high ? high : result[l];
  }
  return result;
#endif
}

#ifdef RN_REAL_F64
/** Returns exp(x) of each lane, computed by the C library. */
static inline rn_vec rn_vec_exp(const rn_vec *x) {
  rn_vec result;
  for (int l = 0; l < RN_VEC; l++) result[l] = exp((*x)[l]);
  return result;
}
#else
/**
 * Returns exp(x) of each lane, accurate to 2 units in the last place; exp(0) is exactly 1. x is
 * clamped to [-87, 88], where exp is finite and normal; NaN stays NaN.
 *
 *   x = n log 2 + r, |r| <= log(2)/2:  exp(x) = 2^n p(r)
 *
 * p is the polynomial of degree 6 with the smallest relative error, 2e-9, on this interval. Adding
 * 1.5 * 2^23 rounds x / log 2 to an integer, which is then in the low bits of the sum.
 */
static inline rn_vec rn_vec_exp(const rn_vec *x) {
  static const float term[] = {8.374857e-3f, 4.1668228e-2f, 0.1666642f, 0.5f, 1.0f, 1.0f};
  typedef uint32_t bits __attribute__((vector_size(RN_VEC_BYTES)));
  const rn_vec zero = {0}, rounder = 12582912.0f - zero;
  const rn_vec per_log2 = 1.44269504f - zero, minus_high = -0.693359375f - zero,
               minus_low = 2.12194440e-4f - zero;
  const rn_vec clamped = rn_vec_clamp(x, -87.0f, 88.0f);
  rn_vec shifted = rounder, r = clamped, sum = 1.3836794e-3f - zero;
  rn_vec_fma(&clamped, &per_log2, &shifted);
  const rn_vec n = shifted - rounder;
  rn_vec_fma(&n, &minus_high, &r);
  rn_vec_fma(&n, &minus_low, &r);
#pragma GCC unroll 6
  for (int i = 0; i < 6; i++) {
    rn_vec next = term[i] - zero;
    rn_vec_fma(&sum, &r, &next);
    sum = next;
  }
  const bits power = ((bits)shifted << 23) + 0x3f800000;
  return sum * (rn_vec)power;
}
#endif

#endif
