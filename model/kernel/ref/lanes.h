/**
 * Defines vectors of the instruction set in use, and sums over a row in a fixed order.
 *
 *   lane[l] = ((x[l] + x[l + 16]) + x[l + 32]) + ...       l = 0 .. 15; 0 beyond the end of the row
 *   lane[l] += lane[l + width]                             width = 8, 4, 2, 1, for l < width
 *   sum = lane[0]
 *
 * The bits of such a sum depend only on its elements, not on the compiler or its optimizations, the
 * instruction set, or the alignment of the row. The kernels do not use OpenMP reductions,
 * -ffast-math or -ffp-contract=fast, with which a compiler may reorder sums or fuse multiply-adds.
 * Where a multiply-add should be fused, they call rn_vec_fma().
 */
#ifndef RN_MODEL_KERNEL_REF_LANES_H
#define RN_MODEL_KERNEL_REF_LANES_H

#include <math.h>
#include <string.h>

#include "proto/base/real.h"

#if defined(__AVX512F__)
#include <immintrin.h>
enum { RN_VEC_BYTES = 64 };
#elif defined(__AVX__)
#include <immintrin.h>
enum { RN_VEC_BYTES = 32 };
#else
enum { RN_VEC_BYTES = 16 };
#endif

/* Number of lanes of a vector of rn_real (RN_VEC) and of a vector of double (RN_VEC_F64). */
enum { RN_VEC = RN_VEC_BYTES / sizeof(rn_real), RN_VEC_F64 = RN_VEC_BYTES / sizeof(double) };

typedef rn_real rn_vec __attribute__((vector_size(RN_VEC_BYTES)));
typedef double rn_vec_f64 __attribute__((vector_size(RN_VEC_BYTES)));
/** A vector with as many elements of rn_real as rn_vec_f64 has doubles. */
typedef rn_real rn_vec_narrow __attribute__((vector_size(RN_VEC_F64 * sizeof(rn_real))));

/** Computes sum += x * y in each lane; rounds once if the instruction set has FMA, else twice. */
static inline void rn_vec_fma(const rn_vec *x, const rn_vec *y, rn_vec *sum) {
#if defined(RN_REAL_F64)
  *sum += *x * *y;
#elif defined(__AVX512F__)
  *sum = (rn_vec)_mm512_fmadd_ps((__m512)*x, (__m512)*y, (__m512)*sum);
#elif defined(__FMA__)
  *sum = (rn_vec)_mm256_fmadd_ps((__m256)*x, (__m256)*y, (__m256)*sum);
#elif defined(__aarch64__)
  for (int l = 0; l < RN_VEC; l++) (*sum)[l] = __builtin_fmaf((*x)[l], (*y)[l], (*sum)[l]);
#else
  *sum += *x * *y;
#endif
}

/* The upper half of the lanes is added to the lower half, and so on until one lane is left. Whole
 * quads of 16 bytes are added until one quad is left, then its lanes. The order of additions
 * depends only on the number of lanes, not on the width of the vector registers. */
enum { RN_QUAD_BYTES = 16 };

/** Computes lane[l] += lane[l + width] for width = lanes / 2, lanes / 4, ... 1; returns lane[0]. */
#define RN_LANES_REDUCE(type, bytes, lanes)                                           \
  do {                                                                                \
    typedef type quad __attribute__((vector_size(RN_QUAD_BYTES)));                    \
    enum { QUADS = (bytes) / RN_QUAD_BYTES, IN_QUAD = RN_QUAD_BYTES / sizeof(type) }; \
    quad part[QUADS];                                                                 \
    type last[IN_QUAD];                                                               \
    memcpy(part, (lanes), sizeof part);                                               \
    for (int width = QUADS / 2; width > 0; width /= 2) {                              \
      for (int i = 0; i < width; i++) part[i] += part[i + width];                     \
    }                                                                                 \
    memcpy(last, part, sizeof last);                                                  \
    for (int width = IN_QUAD / 2; width > 0; width /= 2) {                            \
      for (int i = 0; i < width; i++) last[i] += last[i + width];                     \
    }                                                                                 \
    return last[0];                                                                   \
  } while (0)

/** Returns the sum of the lanes of a vector. */
static inline rn_real rn_vec_sum(const rn_vec *x) {
  RN_LANES_REDUCE(rn_real, RN_VEC_BYTES, x);
}

/* ---- sums over rows ---- */

enum { RN_LANES = 16, RN_LANE_VECS = RN_LANES / RN_VEC, RN_LANE_VECS_F64 = RN_LANES / RN_VEC_F64 };

/** Loads a vector from x, which need not be aligned. */
static inline rn_vec rn_vec_load(const rn_real *x) {
  rn_vec v;
  memcpy(&v, x, sizeof v);
  return v;
}

/** Copies the last `count` < 16 elements of a row to rest [16] and pads them with `missing`. */
static inline const rn_real *rn_row_rest(int count, const rn_real *x, rn_real missing,
                                         rn_real *rest) {
  for (int l = 0; l < RN_LANES; l++) rest[l] = l < count ? x[l] : missing;
  return rest;
}

/** Returns the sum of 16 lanes. */
static inline rn_real rn_lanes_sum(const rn_vec *lane) {
  RN_LANES_REDUCE(rn_real, RN_LANES * sizeof(rn_real), lane);
}

/** Returns the sum of 16 lanes in double. */
static inline double rn_lanes_sum_f64(const rn_vec_f64 *lane) {
  RN_LANES_REDUCE(double, RN_LANES * sizeof(double), lane);
}

/** Adds 16 elements of x to the lanes. */
static inline void rn_lanes_add(const rn_real *x, rn_vec *lane) {
#pragma GCC unroll 8
  for (int p = 0; p < RN_LANE_VECS; p++) lane[p] += rn_vec_load(x + p * RN_VEC);
}

/** Computes top = x > top ? x : top in each lane, so that NaN in x is ignored. */
static inline void rn_vec_raise(const rn_vec *x, rn_vec *top) {
#if defined(RN_REAL_F64)
  for (int l = 0; l < RN_VEC; l++) (*top)[l] = (*x)[l] > (*top)[l] ? (*x)[l] : (*top)[l];
#elif defined(__AVX512F__)
  *top = (rn_vec)_mm512_max_ps((__m512)*x, (__m512)*top);
#elif defined(__AVX__)
  *top = (rn_vec)_mm256_max_ps((__m256)*x, (__m256)*top);
#else
  for (int l = 0; l < RN_VEC; l++) (*top)[l] = (*x)[l] > (*top)[l] ? (*x)[l] : (*top)[l];
#endif
}

/** Returns the largest element of x [n]; ignores NaN. The lanes are explicit because compilers are
 * not allowed to reorder the operations of a maximum. */
static inline rn_real rn_row_largest(int n, const rn_real *x) {
  rn_vec lane[RN_LANE_VECS];
  rn_real rest[RN_LANES], top[RN_LANES];
  for (int p = 0; p < RN_LANE_VECS; p++) lane[p] = -(rn_real)INFINITY - (rn_vec){0};
  for (int at = 0; at < n; at += RN_LANES) {
    const rn_real *from =
        n - at >= RN_LANES ? x + at : rn_row_rest(n - at, x + at, -(rn_real)INFINITY, rest);
#pragma GCC unroll 8
    for (int p = 0; p < RN_LANE_VECS; p++) {
      const rn_vec v = rn_vec_load(from + p * RN_VEC);
      rn_vec_raise(&v, &lane[p]);
    }
  }
  memcpy(top, lane, sizeof top);
  for (int l = 1; l < RN_LANES; l++) top[0] = top[l] > top[0] ? top[l] : top[0];
  return top[0];
}

/** Returns the sum of x [n]. */
static inline rn_real rn_row_sum(int n, const rn_real *x) {
  rn_vec lane[RN_LANE_VECS] = {0};
  rn_real rest[RN_LANES];
  int at = 0;
  for (; at + RN_LANES <= n; at += RN_LANES) rn_lanes_add(x + at, lane);
  if (at < n) rn_lanes_add(rn_row_rest(n - at, x + at, 0, rest), lane);
  return rn_lanes_sum(lane);
}

/** Adds 16 products x[i] y[i] to the lanes. */
static inline void rn_lanes_add_products(const rn_real *x, const rn_real *y, rn_vec *lane) {
#pragma GCC unroll 8
  for (int p = 0; p < RN_LANE_VECS; p++) {
    lane[p] += rn_vec_load(x + p * RN_VEC) * rn_vec_load(y + p * RN_VEC);
  }
}

/** Returns the dot product of x [n] and y [n]; products are rounded before they are added. */
static inline rn_real rn_row_dot(int n, const rn_real *x, const rn_real *y) {
  rn_vec lane[RN_LANE_VECS] = {0};
  rn_real rest_x[RN_LANES], rest_y[RN_LANES];
  int at = 0;
  for (; at + RN_LANES <= n; at += RN_LANES) rn_lanes_add_products(x + at, y + at, lane);
  if (at < n) {
    rn_lanes_add_products(rn_row_rest(n - at, x + at, 0, rest_x),
                          rn_row_rest(n - at, y + at, 0, rest_y), lane);
  }
  return rn_lanes_sum(lane);
}

/** Adds 16 squares (x - mean)^2 to the lanes, in double. */
static inline void rn_lanes_add_squares(const rn_real *x, rn_real mean, rn_vec_f64 *lane) {
#pragma GCC unroll 8
  for (int p = 0; p < RN_LANE_VECS_F64; p++) {
    rn_vec_narrow v;
    memcpy(&v, x + p * RN_VEC_F64, sizeof v);
    const rn_vec_f64 d = __builtin_convertvector(v - mean, rn_vec_f64);
    lane[p] += d * d;
  }
}

/** Returns the sum of (x [n] - mean)^2 in double; the differences are rounded to rn_real. */
static inline double rn_row_squares(int n, const rn_real *x, rn_real mean) {
  rn_vec_f64 lane[RN_LANE_VECS_F64] = {0};
  rn_real rest[RN_LANES];
  int at = 0;
  for (; at + RN_LANES <= n; at += RN_LANES) rn_lanes_add_squares(x + at, mean, lane);
  if (at < n) rn_lanes_add_squares(rn_row_rest(n - at, x + at, mean, rest), mean, lane);
  return rn_lanes_sum_f64(lane);
}

#endif
