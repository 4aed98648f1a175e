/* Computes products of bf16 operands with oneDNN, summed in single precision. */
#include <assert.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <string.h>

#include "model/kernel/gemm_backends.h"
#include "model/kernel/onednn_products.h"

static bool has_isa(dnnl_cpu_isa_t needed) {
  const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
  return (isa & (unsigned)needed) == (unsigned)needed;
}

bool rn_gemm_bf16_supported(void) {
  return has_isa(dnnl_cpu_isa_avx512_core_bf16);
}

/* Computes the product for an `a` that is one row with element stride lda. Returns false if memory
 * is exhausted. */
static bool gemm_of_row(rn_onednn_thread *d, rn_onednn_shape s, const rn_bf16 *a, const rn_bf16 *b,
                        rn_array c) {
  rn_bf16 *row = rn_onednn_scratch(d, (size_t)s.k * sizeof *a);
  if (row == NULL) return false;
  for (int64_t l = 0; l < s.k; l++) row[l] = a[l * s.lda];
  s.a_transposed = false;
  s.lda = s.k;
  return rn_onednn_execute(d, s, row, b, c);
}

/* Computes the product for a `c` that is one column with element stride ldc. Returns false if
 * memory is exhausted. */
static bool gemm_of_column(rn_onednn_thread *d, rn_onednn_shape s, const rn_bf16 *a,
                           const rn_bf16 *b, rn_array c) {
  const size_t element = rn_element_bytes(c.bf16);
  char *column = rn_onednn_scratch(d, (size_t)s.m * element), *in_c = c.at;
  if (column == NULL) return false;
  const int64_t stride = s.ldc * (int64_t)element;
  for (int64_t i = 0; s.add && i < s.m; i++) {
    memcpy(column + i * (int64_t)element, in_c + i * stride, element);
  }
  s.ldc = 1;
  if (!rn_onednn_execute(d, s, a, b, (rn_array){column, c.bf16})) return false;
  for (int64_t i = 0; i < s.m; i++) {
    memcpy(in_c + i * stride, column + i * (int64_t)element, element);
  }
  return true;
}

/*
 * Computes a product with oneDNN. Returns false if out of memory.
 *
 * oneDNN 3 (seen in 3.7.2) ignores the strides of a vector and assumes that its elements are
 * contiguous. Therefore, if `a` is one strided row, it is copied to contiguous memory; if `c` is
 * one strided column, the product is computed in contiguous memory and copied to `c`.
 */
static bool gemm_by_onednn(rn_onednn_shape s, const rn_bf16 *a, const rn_bf16 *b, rn_array c) {
  rn_onednn_thread *d = rn_onednn_thread_own();
  if (d == NULL) return false;
  if (s.m == 1 && s.a_transposed && s.lda > 1) return gemm_of_row(d, s, a, b, c);
  if (s.n == 1 && s.m > 1 && s.ldc > 1) return gemm_of_column(d, s, a, b, c);
  return rn_onednn_execute(d, s, a, b, c);
}

static float sum_at(rn_onednn_shape s, const rn_bf16 *a, const rn_bf16 *b, int64_t i, int64_t j) {
  float sum = 0;
  for (int64_t l = 0; l < s.k; l++) {
    const rn_bf16 x = s.a_transposed ? a[l * s.lda + i] : a[i * s.lda + l];
    const rn_bf16 y = s.b_transposed ? b[j * s.ldb + l] : b[l * s.ldb + j];
    sum += rn_bf16_value(x) * rn_bf16_value(y);
  }
  return sum;
}

/* Computes a product without allocating memory. This is a slow fallback. */
static void gemm_without_memory(rn_onednn_shape s, const rn_bf16 *a, const rn_bf16 *b, rn_array c) {
  for (int64_t i = 0; i < s.m; i++) {
    for (int64_t j = 0; j < s.n; j++) {
      const int64_t at = i * s.ldc + j;
      const float value = sum_at(s, a, b, i, j) + (s.add ? rn_array_value(c, at) : 0);
      if (s.c_bf16) {
        rn_array_bf16s(c)[at] = rn_bf16_of(value);
      } else {
        rn_array_reals(c)[at] = value;
      }
    }
  }
}

static void gemm(rn_onednn_shape s, const rn_bf16 *a, const rn_bf16 *b, float beta, rn_array c) {
  assert(beta == 0 || beta == 1);
  s.add = beta != 0;
  s.c_bf16 = c.bf16;
  if (s.m == 0 || s.n == 0) return;
  if (s.k == 0 || !gemm_by_onednn(s, a, b, c)) gemm_without_memory(s, a, b, c);
}

static void bf16_nn(int m, int n, int k, const rn_bf16 *a, int64_t lda, const rn_bf16 *b,
                    int64_t ldb, float beta, rn_array c, int64_t ldc) {
  gemm((rn_onednn_shape){.m = m, .n = n, .k = k, .lda = lda, .ldb = ldb, .ldc = ldc}, a, b, beta,
       c);
}

static void bf16_nt(int m, int n, int k, const rn_bf16 *a, int64_t lda, const rn_bf16 *b,
                    int64_t ldb, float beta, rn_array c, int64_t ldc) {
  const rn_onednn_shape s = {
      .m = m, .n = n, .k = k, .lda = lda, .ldb = ldb, .ldc = ldc, .b_transposed = true};
  gemm(s, a, b, beta, c);
}

static void bf16_tn(int m, int n, int k, const rn_bf16 *a, int64_t lda, const rn_bf16 *b,
                    int64_t ldb, float beta, rn_array c, int64_t ldc) {
  const rn_onednn_shape s = {
      .m = m, .n = n, .k = k, .lda = lda, .ldb = ldb, .ldc = ldc, .a_transposed = true};
  gemm(s, a, b, beta, c);
}

void rn_gemm_bf16_enter(rn_gemm_backend *table) {
  table->name = "onednn bf16";
  table->bf16_nn = bf16_nn;
  table->bf16_nt = bf16_nt;
  table->bf16_tn = bf16_tn;
  table->bf16_by_tiles = has_isa(dnnl_cpu_isa_avx512_core_amx);
  if (rn_gemm_bf16_packs()) table->bf16_packed = rn_gemm_bf16_packed;
}
