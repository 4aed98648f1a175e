/**
 * Defines sums of products of bf16 numbers, and the rounding of two rows to bf16.
 *
 * With AVX512_BF16, one instruction adds both products of a pair. Other instruction sets use a
 * multiply and an add, which give the same bits: a product of two bf16 numbers is exact in rn_real,
 * so only the sum is rounded, as in a fused multiply-add. The only difference is that the
 * instructions of AVX512_BF16 treat subnormal numbers as 0.
 */
#ifndef RN_MODEL_KERNEL_REF_PAIRS_H
#define RN_MODEL_KERNEL_REF_PAIRS_H

#include "model/kernel/kernels.h"
#include "model/kernel/ref/lanes.h"

#ifndef RN_REAL_F64

/** A vector of bf16 pairs, with as many pairs as rn_vec has elements. */
typedef rn_bf16_pair rn_vec_pairs __attribute__((vector_size(RN_VEC_BYTES)));

/** Computes sum[l] += a.first * b[l].first + a.second * b[l].second for each lane l; the second
 * product is added first. */
static inline void rn_vec_add_pairs(rn_bf16_pair a, const rn_vec *b, rn_vec *sum) {
  const rn_vec_pairs x = a - (rn_vec_pairs){0}, y = (rn_vec_pairs)*b;
#if defined(__AVX512BF16__)
  *sum = (rn_vec)_mm512_dpbf16_ps((__m512)*sum, (__m512bh)x, (__m512bh)y);
#else
  *sum += (rn_vec)(x & 0xffff0000) * (rn_vec)(y & 0xffff0000);
  *sum += (rn_vec)(x << 16) * (rn_vec)(y << 16);
#endif
}

/** Two rows of bf16 numbers, with as many numbers as rn_vec has elements. */
typedef struct rn_vec_rows {
  rn_bf16 row[2][RN_VEC];
} rn_vec_rows;

/** Rounds the elements of `first` and of `second` to bf16. */
static inline rn_vec_rows rn_vec_round_rows(const rn_vec *first, const rn_vec *second) {
  rn_vec_rows rows;
#if defined(__AVX512BF16__)
  const __m512i x = (__m512i)_mm512_cvtne2ps_pbh((__m512)*second, (__m512)*first);
  memcpy(&rows, &x, sizeof rows);
#else
  for (int l = 0; l < RN_VEC; l++) {
    rows.row[0][l] = rn_bf16_of((*first)[l]);
    rows.row[1][l] = rn_bf16_of((*second)[l]);
  }
#endif
  return rows;
}

/** Returns the pairs of row[0][l] and row[1][l]. */
static inline rn_vec_pairs rn_vec_pair_rows(const rn_vec_rows *rows) {
  rn_vec_pairs pairs;
#if defined(__AVX512BF16__)
  static const uint16_t order[2 * RN_VEC] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                             21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                             11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i x = _mm512_loadu_si512(rows);
  pairs = (rn_vec_pairs)_mm512_permutexvar_epi16(_mm512_loadu_si512(order), x);
#else
  for (int l = 0; l < RN_VEC; l++) {
    pairs[l] = rows->row[0][l] | (rn_bf16_pair)rows->row[1][l] << 16;
  }
#endif
  return pairs;
}

#endif

#endif
