/*
 * Computes products of bf16 rows and a packed weight with oneDNN's brgemm code.
 *
 * oneDNN 2 has brgemm code only for operands without gaps between rows, and only for whole panels.
 * For other tiles, the operands are copied to and from scratch memory, which costs 3 to 5 %.
 * Without copies, oneDNN would use other code for these tiles, which is 10 to 25 % slower.
 */
#include <assert.h>
#include <string.h>
#include <threads.h>

#include "model/kernel/gemm_backends.h"
#include "model/kernel/gemm_pack.h"
#include "model/kernel/onednn_products.h"
#include "proto/base/range.h"

/* The operands that brgemm code supports. This does not depend on the shape. */
static struct { bool packed, a_strided, c_strided; } supported;

static void probe(void) {
  rn_onednn_shape s = {
      .m = 128, .n = 256, .k = 512, .lda = 512, .ldc = 256, .b_packed = true, .c_bf16 = true};
  rn_onednn_thread *thread = rn_onednn_thread_own();
  if (thread == NULL || !rn_onednn_is_brgemm(thread, s)) return;
  supported.packed = true;
  s.lda = 512 + 32;
  supported.a_strided = rn_onednn_is_brgemm(thread, s);
  s.lda = 512;
  s.ldc = 256 + 32;
  supported.c_strided = rn_onednn_is_brgemm(thread, s);
}

static void probe_once(void) {
  static once_flag probed = ONCE_FLAG_INIT;
  call_once(&probed, probe);
}

bool rn_gemm_bf16_packs(void) {
  probe_once();
  return supported.packed;
}

static void copy_rows(int64_t rows, size_t bytes, const void *from, size_t from_stride, void *to,
                      size_t to_stride) {
  for (int64_t i = 0; i < rows; i++) {
    memcpy((char *)to + (size_t)i * to_stride, (const char *)from + (size_t)i * from_stride, bytes);
  }
}

/* Adds `sums` to c, row by row. */
static void add_rows(int64_t rows, int64_t cols, const float *sums, int64_t ld, float *c,
                     int64_t ldc) {
  for (int64_t i = 0; i < rows; i++) {
    for (int64_t j = 0; j < cols; j++) c[i * ldc + j] += sums[i * ld + j];
  }
}

static size_t aligned(size_t bytes) {
  return (size_t)rn_round_up((int64_t)bytes, 64);
}

/* Computes a product in a copy of c that has a column for each column of the panels that the
 * product reads. The first column of c is column `skip` of the copy. */
static bool through_copy_of_c(rn_onednn_thread *thread, rn_onednn_shape s, int64_t skip,
                              const rn_bf16 *a, const rn_bf16 *panel, rn_array c, void *copy) {
  const size_t element = rn_element_bytes(s.c_bf16);
  const int64_t cols = s.n, ldc = s.ldc, whole = rn_round_up(skip + cols, RN_PACK_COLS);
  const rn_array sums = {copy, s.c_bf16}, wanted = rn_array_from(sums, skip);
  const bool add_afterwards = s.add && !s.c_bf16;
  const size_t bytes = (size_t)cols * element, stride = (size_t)ldc * element,
               copy_stride = (size_t)whole * element;
  if (s.add && s.c_bf16) {
    memset(copy, 0, (size_t)s.m * copy_stride);
    copy_rows(s.m, bytes, c.at, stride, wanted.at, copy_stride);
  }
  s.add = s.add && s.c_bf16;
  s.n = s.ldc = whole;
  if (!rn_onednn_execute(thread, s, a, panel, sums)) return false;
  if (add_afterwards) {
    add_rows(s.m, cols, rn_array_reals(wanted), whole, rn_array_reals(c), ldc);
  } else {
    copy_rows(s.m, bytes, wanted.at, copy_stride, c.at, stride);
  }
  return true;
}

static bool multiply(rn_onednn_shape s, int64_t skip, const rn_bf16 *a, const rn_bf16 *panel,
                     rn_array c) {
  rn_onednn_thread *thread = rn_onednn_thread_own();
  const bool copies_a = s.lda != s.k && !supported.a_strided;
  const bool copies_c =
      skip != 0 || s.n % RN_PACK_COLS != 0 || (s.ldc != s.n && !supported.c_strided);
  const size_t a_bytes = copies_a ? aligned((size_t)(s.m * s.k) * sizeof *a) : 0;
  const size_t c_bytes = copies_c ? (size_t)(s.m * (skip + s.n + RN_PACK_COLS)) * sizeof(float) : 0;
  if (thread == NULL) return false;
  const bool copies = copies_a || copies_c;
  char *scratch = copies ? rn_onednn_scratch(thread, a_bytes + c_bytes) : NULL;
  if (copies && scratch == NULL) return false;
  if (copies_a) {
    copy_rows(s.m, (size_t)s.k * sizeof *a, a, (size_t)s.lda * sizeof *a, scratch,
              (size_t)s.k * sizeof *a);
    a = (const rn_bf16 *)(const void *)scratch;
    s.lda = s.k;
  }
  if (!copies_c) return rn_onednn_execute(thread, s, a, panel, c);
  return through_copy_of_c(thread, s, skip, a, panel, c, scratch + a_bytes);
}

static float sum_at(rn_onednn_shape s, const rn_bf16 *a, const rn_bf16 *panels, int64_t i,
                    int64_t col) {
  const int64_t sums = rn_round_up(s.k, RN_PACK_SUM);
  const rn_bf16 *panel = panels + col / RN_PACK_COLS * RN_PACK_COLS * sums;
  float sum = 0;
  for (int64_t l = 0; l < s.k; l++) {
    sum += rn_bf16_value(a[i * s.lda + l]) *
           rn_bf16_value(panel[l / 2 * 2 * RN_PACK_COLS + col % RN_PACK_COLS * 2 + l % 2]);
  }
  return sum;
}

/* Computes a product without allocating memory. This is a slow fallback. */
static void multiply_without_memory(rn_onednn_shape s, int64_t skip, const rn_bf16 *a,
                                    const rn_bf16 *panels, rn_array c) {
  for (int64_t i = 0; i < s.m; i++) {
    for (int64_t j = 0; j < s.n; j++) {
      const int64_t at = i * s.ldc + j;
      const float value = sum_at(s, a, panels, i, skip + j) + (s.add ? rn_array_value(c, at) : 0);
      if (s.c_bf16) {
        rn_array_bf16s(c)[at] = rn_bf16_of(value);
      } else {
        rn_array_reals(c)[at] = value;
      }
    }
  }
}

void rn_gemm_bf16_packed(int m, int n, int k, const rn_bf16 *a, int64_t lda, const rn_bf16 *b,
                         int64_t first_col, rn_real beta, rn_array c, int64_t ldc) {
  const rn_onednn_shape s = {.m = m,
                             .n = n,
                             .k = k,
                             .lda = lda,
                             .ldc = ldc,
                             .b_packed = true,
                             .add = beta != 0,
                             .c_bf16 = c.bf16};
  assert(beta == 0 || beta == 1);
  if (m == 0 || n == 0) return;
  if (k == 0 || !multiply(s, first_col, a, b, c)) multiply_without_memory(s, first_col, a, b, c);
}
