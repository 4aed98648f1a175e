/* Checks that kernels add in the order that model/kernel/ref/lanes.h specifies, so that the
 * results are bitwise the same for every compiler, optimization level and row address. The test
 * computes the expected sums one element at a time. */
#include <math.h>
#include <string.h>

#include "model/kernel/exp.h"
#include "model/kernel/kernels.h"
#include "model/kernel/ref/lanes.h"
#include "model/retention/first_token.h"
#include "tests/support/gradient.h"

enum { MAX = 1100, OFFSETS = 16 };

/* A row of operands, with space to begin at any of OFFSETS offsets. */
typedef struct row {
  float at[MAX + OFFSETS];
} row;

static row x, y, w, dy;

static bool same_bits(float a, float b) {
  return memcmp(&a, &b, sizeof a) == 0;
}

static float sum_of(int n, const float *term) {
  float lane[16] = {0};
  for (int i = 0; i < n; i++) lane[i % 16] += term[i];
  for (int width = 8; width > 0; width /= 2) {
    for (int l = 0; l < width; l++) lane[l] += lane[l + width];
  }
  return lane[0];
}

static double sum_of_fp64(int n, const double *term) {
  double lane[16] = {0};
  for (int i = 0; i < n; i++) lane[i % 16] += term[i];
  for (int width = 8; width > 0; width /= 2) {
    for (int l = 0; l < width; l++) lane[l] += lane[l + width];
  }
  return lane[0];
}

static void norms_add_in_order(const rn_kernels *kernels, rn_block_norm kind, int n, int offset) {
  const float *xs = x.at + offset, *ws = w.at + offset, *dys = dy.at + offset;
  float got[MAX], stat[2], dx[MAX], term[MAX] = {0}, along, shift;
  double x_fp64[MAX] = {0};
  kernels->norm(kind, n, 1e-5, ws, NULL, xs, rn_reals(got), stat);
  const float mean = kind == RN_BLOCK_NORM_LAYER ? sum_of(n, xs) / (float)n : 0;
  for (int i = 0; i < n; i++) x_fp64[i] = (double)(xs[i] - mean) * (double)(xs[i] - mean);
  const float scale = (float)(1 / sqrt(sum_of_fp64(n, x_fp64) / n + 1e-5));
  CHECK(same_bits(stat[0], mean));
  CHECK(same_bits(stat[1], scale));
  kernels->norm_backward(kind, n, ws, xs, stat, dys, NULL, dx);
  for (int i = 0; i < n; i++) term[i] = ws[i] * dys[i] * ((xs[i] - mean) * scale);
  along = sum_of(n, term) / (float)n;
  for (int i = 0; i < n; i++) term[i] = ws[i] * dys[i];
  shift = kind == RN_BLOCK_NORM_LAYER ? sum_of(n, term) / (float)n : 0;
  for (int i = 0; i < n; i++) {
    const float g = ws[i] * dys[i] - shift - ((xs[i] - mean) * scale) * along;
    if (!CHECK(same_bits(dx[i], 0 + scale * g))) return;
  }
}

static void head_norms_add_in_order(const rn_kernels *kernels, int n, int offset) {
  row copy = x;
  float term[MAX] = {0}, *xs = copy.at + offset;
  for (int i = 0; i < n; i++) term[i] = xs[i] * xs[i];
  const double square = (double)(sum_of(n, term) / (float)n);
  const float factor = (float)(1 / sqrt(square + 1e-5 / 0.0625));
  CHECK(same_bits(kernels->head_norm(RN_HEAD_NORM_RMS, n, 1e-5, 0.25F, xs), factor));
  copy = x;
  const float mean = sum_of(n, xs) / (float)n;
  for (int i = 0; i < n; i++) term[i] = (xs[i] - mean) * (xs[i] - mean);
  const double variance = (double)(sum_of(n, term) / (float)n);
  const float group = (float)(1 / sqrt(variance + 1e-5 / 0.0625));
  CHECK(same_bits(kernels->head_norm(RN_HEAD_NORM_GROUP, n, 1e-5, 0.25F, xs), group));
}

static void softmax_adds_in_order(const rn_kernels *kernels, int n, int offset) {
  row copy = x;
  float term[MAX] = {0}, top = -INFINITY, *logits = copy.at + offset;
  const float wanted = logits[n / 2];
  double sum = 0;
  for (int i = 0; i < n; i++) top = logits[i] > top ? logits[i] : top;
  for (int i = 0; i < n; i++) term[i] = rn_exp(logits[i] - top);
  for (int from = 0; from < n; from += 512) {
    sum += (double)sum_of(n - from < 512 ? n - from : 512, term + from);
  }
  const double loss = kernels->cross_entropy(n, logits, n / 2, true, 0.125);
  CHECK(loss == log(sum) - ((double)wanted - (double)top));
  const float factor = (float)(0.125 / sum);
  for (int i = 0; i < n; i++) {
    if (!CHECK(same_bits(logits[i], term[i] * factor - (i == n / 2 ? 0.125F : 0)))) return;
  }
}

/* Returns whether the plain C kernel set uses fused multiply-add. That kernel set is compiled with
 * the same options as this file. */
static bool ref_is_fused(void) {
  const float one = 1.0F + 0x1p-20F;
  rn_vec a, sum;
  for (int l = 0; l < RN_VEC; l++) {
    a[l] = one;
    sum[l] = -(one * one);
  }
  rn_vec_fma(&a, &a, &sum);
  return sum[0] != 0;
}

static float product_of(int k, int lanes, bool fused, const float *a, const float *b) {
  float lane[16] = {0};
  for (int l = 0; l < k; l++) {
    float *to = &lane[l % lanes];
    *to = fused ? fmaf(a[l], b[l], *to) : *to + a[l] * b[l];
  }
  for (int width = lanes / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; l++) lane[l] += lane[l + width];
  }
  return lane[0];
}

/* Checks the product of m rows with n columns of weights, in fp32 and in bf16, added to 0.3 * the
 * previous result. */
static void skinny_gemm_adds_in_order(const rn_kernels *kernels, int m, int n, int k, int offset) {
  static rn_bf16 bf16s[MAX];
  static float x_fp64[MAX];
  const bool vector_set = strcmp(kernels->name, "ref") != 0, fused = vector_set || ref_is_fused();
  /* With -march, RN_VEC may be larger than the vectors of the kernel set. */
  const int own = strncmp(kernels->name, "avx512", strlen("avx512")) == 0 ? 16
                  : vector_set                                            ? 8
                                                                          : RN_VEC;
  const int lanes = own > RN_VEC ? own : RN_VEC;
  for (int i = 0; i < n * k; i++)
    x_fp64[i] = rn_bf16_value(bf16s[i] = rn_bf16_of(w.at[offset + i]));
  for (int bf16 = 0; bf16 < 2; bf16++) {
    const rn_array weights = bf16 != 0 ? rn_bf16s(bf16s) : rn_reals(w.at + offset);
    const float *read = bf16 != 0 ? x_fp64 : w.at + offset;
    float got[MAX];
    memcpy(got, dy.at, sizeof got);
    kernels->skinny_gemm(m, n, k, x.at + offset, k, weights, k, 0.3F, got, n);
    for (int i = 0; i < m * n; i++) {
      const float sum =
          product_of(k, lanes, fused, x.at + offset + i / n * k, read + (int64_t)(i % n) * k);
      CHECK(same_bits(got[i], 0.3F * dy.at[i] + sum));
    }
  }
}

/* Checks one head of width one, whose score is the product of two sums. */
static void first_tokens_add_in_order(int n) {
  double input[MAX], lane[2][8] = {{0}}, q = 0, k = 0;
  const float v = 1.5F;
  float o;
  for (int i = 0; i < n; i++) {
    input[i] = (double)x.at[i] + 1e-9 * i;
    lane[0][i % 8] += (double)w.at[i] * input[i];
    lane[1][i % 8] += (double)y.at[i] * input[i];
  }
  for (int l = 0; l < 8; l++) {
    q += lane[0][l];
    k += lane[1][l];
  }
  rn_first_token_retain((rn_first_token){.dim = n, .key_width = 1, .value_width = 1}, input, w.at,
                        y.at, &v, &o);
  CHECK(same_bits(o, (float)(q * k * 1.5)));
}

int main(void) {
  test_fill(x.at, MAX + OFFSETS, 1, 1);
  test_fill(y.at, MAX + OFFSETS, 1, 2);
  test_fill(w.at, MAX + OFFSETS, 1, 3);
  test_fill(dy.at, MAX + OFFSETS, 1, 4);
  static const int lengths[] = {1, 5, 15, 16, 17, 31, 32, 47, 64, 100, 256, 531, 1100};
  int sets = 0;
  for (; rn_kernels_use(sets); sets++) {
    const rn_kernels *kernels = rn_kernels_table();
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
      for (int offset = 0; offset < OFFSETS; offset += 3) {
        norms_add_in_order(kernels, RN_BLOCK_NORM_RMS, lengths[i], offset);
        norms_add_in_order(kernels, RN_BLOCK_NORM_LAYER, lengths[i], offset);
        head_norms_add_in_order(kernels, lengths[i], offset);
        softmax_adds_in_order(kernels, lengths[i], offset);
      }
    }
    for (int m = 1; m < 10; m++) {
      skinny_gemm_adds_in_order(kernels, m, 11, 100, m);
      skinny_gemm_adds_in_order(kernels, m, 5, 65 + m, 0);
    }
  }
  for (int n = 1; n < 40; n += 6) first_tokens_add_in_order(n);
  printf("%d sets of kernels\n", sets);
  return check_result();
}
