/* Checks that the kernels of attention equal their formulas in every kernel set: products of blocks
 * that are in the cache (in fp32 and in bf16), the softmax of a block, and the softmax in backward.
 * The tested sizes include some that fill vectors and tiles and some that do not. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/kernel/kernels.h"
#include "tests/support/check.h"
#include "tests/support/gradient.h"

enum { M = 37, N = 53, TERMS = 38, LD = 64, KEYS = 43 };

static float a[M * TERMS], b[TERMS * N], c[M * LD];

/* Rounds x to bf16, in place and to `to`. */
static void to_bf16(int n, float *x, rn_bf16 *to) {
  for (int i = 0; i < n; i++) {
    to[i] = rn_bf16_of(x[i]);
    x[i] = rn_bf16_value(to[i]);
  }
}

static void fill(void) {
  test_fill(a, M * TERMS, 1, 1);
  test_fill(b, TERMS * N, 1, 2);
  test_fill(c, M * LD, 1, 3);
}

static double product_at(int i, int j, bool add) {
  double sum = add ? (double)c[i * LD + j] : 0;
  for (int l = 0; l < TERMS; l++) sum += (double)a[i * TERMS + l] * (double)b[l * N + j];
  return sum;
}

static void is_the_product(const float *got, int m, int n, bool add) {
  for (int i = 0; i < m; i++) {
    for (int j = 0; j < n; j++) CHECK_NEAR((double)got[i * LD + j], product_at(i, j, add), 5e-6);
    for (int j = n; j < LD; j++) CHECK(got[i * LD + j] == c[i * LD + j]);
  }
}

/* If `transposed`, the matrix `a` is passed to the kernel in column-major order. */
static void products(const rn_kernels *kernels, int m, int n, bool transposed, bool add) {
  float at[M * TERMS], got[M * LD];
  fill();
  for (int i = 0; i < M * TERMS; i++) at[i % TERMS * M + i / TERMS] = a[i];
  memcpy(got, c, sizeof got);
  kernels->cached_product(
      &(rn_cached_product){.m = m,
                           .n = n,
                           .k = TERMS,
                           .a = transposed ? (rn_strided){at, 1, M} : (rn_strided){a, TERMS, 1},
                           .b = b,
                           .ldb = N,
                           .add = add,
                           .c = got,
                           .ldc = LD});
  is_the_product(got, m, n, add);
}

static void pair_products(const rn_kernels *kernels, int m, int n, bool transposed, bool add) {
  static rn_bf16 rows[M * TERMS], cols[M * TERMS], b16[TERMS * N];
  static rn_bf16_pair pairs[TERMS / 2 * N];
  float got[M * LD];
  fill();
  to_bf16(M * TERMS, a, rows);
  to_bf16(TERMS * N, b, b16);
  for (int i = 0; i < M * TERMS; i++) {
    const int row = i / TERMS, term = i % TERMS;
    cols[(term / 2 * M + row) * 2 + term % 2] = rows[i];
  }
  for (int l = 0; l < TERMS / 2; l++) {
    kernels->pair_bf16(N, b16 + 2 * l * N, b16 + (2 * l + 1) * N, pairs + l * N);
  }
  memcpy(got, c, sizeof got);
  kernels->pair_product(&(rn_pair_product){
      .m = m,
      .n = n,
      .pairs = TERMS / 2,
      .a = transposed ? (rn_strided_pairs){cols, 2, 2 * M} : (rn_strided_pairs){rows, TERMS, 2},
      .b = pairs,
      .ldb = N,
      .add = add,
      .c = got,
      .ldc = LD});
  is_the_product(got, m, n, add);
}

/* ---- softmax ---- */

static const float scale = 0.7F;
static float s[KEYS * LD], dp[2 * LD];

/* Query n of `queries` sees the keys from n / 2 to KEYS - 5 + n / 3; the last query sees none. */
static bool sees(int queries, int n, int m) {
  return n < queries - 1 && m >= n / 2 && m <= KEYS - 5 + n / 3;
}

static rn_columns seen_by(int queries, int m) {
  rn_columns seen = {0, 0};
  for (int n = queries - 1; n >= 0; n--) {
    if (!sees(queries, n, m)) continue;
    seen.begin = n;
    if (seen.end == 0) seen.end = n + 1;
  }
  return seen;
}

static float exponential(bool bf16, const float *got, const rn_bf16_pair *pairs, int m, int n) {
  if (!bf16) return got[m * LD + n];
  return rn_bf16_value((rn_bf16)(pairs[m / 2 * LD + n] >> (m % 2 * 16)));
}

/* Checks the second block of an online softmax: on entry, each query has the maximum 1 and the
 * sum 2. */
static void block(const rn_kernels *kernels, int queries, bool bf16) {
  rn_columns seen[KEYS];
  static float got[KEYS * LD];
  static rn_bf16_pair pairs[(KEYS + 1) / 2 * LD];
  float top[LD], sum[LD], fade[LD];
  test_fill(s, KEYS * LD, 4, 5);
  memcpy(got, s, sizeof got);
  for (int n = 0; n < LD; n++) top[n] = 1, sum[n] = 2;
  for (int m = 0; m < KEYS; m++) seen[m] = seen_by(queries, m);
  kernels->softmax_block(
      &(rn_score_block){KEYS, queries, scale, seen, got, bf16 ? pairs : NULL, LD}, top, sum, fade);
  for (int n = 0; n < queries; n++) {
    double largest = 1, total = 0;
    for (int m = 0; m < KEYS; m++) {
      if (sees(queries, n, m)) largest = fmax(largest, (double)(s[m * LD + n] * scale));
    }
    for (int m = 0; m < KEYS; m++) {
      const double want =
          sees(queries, n, m) ? exp((double)s[m * LD + n] * (double)scale - largest) : 0;
      const double value = (double)exponential(bf16, got, pairs, m, n);
      total += want;
      if (want > 0) CHECK_RELATIVE(value, want, bf16 ? 0x1p-8 : 4e-6);
      if (!(want > 0)) CHECK(!(value < 0) && !(value > 0));
    }
    CHECK_NEAR((double)top[n], largest, 1e-6);
    CHECK_NEAR((double)fade[n], exp(1 - largest), 1e-6);
    CHECK_NEAR((double)sum[n], 2 * exp(1 - largest) + total, 1e-6);
    /* KEYS is odd: the last key is alone in its pair. */
    if (bf16) CHECK_EQUAL(pairs[KEYS / 2 * LD + n] >> 16, 0);
  }
}

static double wanted_p(int i, int m, float lse) {
  return exp((double)s[i * LD + m] * (double)scale - (double)lse);
}

static void backward(const rn_kernels *kernels, int keys) {
  const float lse[2] = {0.5F, 0.25F}, delta[2] = {0.125F, -1};
  float p[2 * LD], ds[2 * LD];
  test_fill(s, 2 * LD, 1, 6);
  test_fill(dp, 2 * LD, 1, 7);
  memcpy(p, s, sizeof p);
  memcpy(ds, dp, sizeof ds);
  for (int i = 0; i < 2; i++) {
    kernels->softmax_backward(keys, scale, lse[i], delta[i], p + i * LD, ds + i * LD);
    for (int m = 0; m < keys; m++) {
      const double want = wanted_p(i, m, lse[i]);
      CHECK_RELATIVE((double)p[i * LD + m], want, 1e-6);
      CHECK_NEAR((double)ds[i * LD + m],
                 want * ((double)dp[i * LD + m] - (double)delta[i]) * (double)scale, 1e-6);
    }
    for (int m = keys; m < LD; m++) CHECK(p[i * LD + m] == s[i * LD + m]);
  }
}

/* The first query sees keys 3 .. keys - 2, the second all keys or, if `single`, none. */
static void backward_pair(const rn_kernels *kernels, int keys, bool single) {
  rn_bf16_pair p[LD], ds[LD];
  rn_bf16 rows[2 * LD];
  test_fill(s, 2 * LD, 1, 6);
  test_fill(dp, 2 * LD, 1, 7);
  const rn_softmax_pair pair = {.keys = keys,
                                .scale = scale,
                                .lse = {0.5F, 0.25F},
                                .delta = {0.125F, -1},
                                .seen = {{3, keys - 1}, {0, single ? 0 : keys}},
                                .s = {s, s + LD},
                                .dp = {dp, dp + LD},
                                .p = p,
                                .ds = ds,
                                .ds_rows = {rows, rows + LD}};
  kernels->softmax_backward_pair(&pair);
  for (int i = 0; i < 2; i++) {
    for (int m = 0; m < keys; m++) {
      const bool seen = m >= pair.seen[i].begin && m < pair.seen[i].end;
      const double want = seen ? wanted_p(i, m, pair.lse[i]) : 0;
      const double gradient =
          want * ((double)dp[i * LD + m] - (double)pair.delta[i]) * (double)scale;
      CHECK_RELATIVE((double)rn_bf16_value((rn_bf16)(p[m] >> 16 * i)), want, 0x1p-8);
      CHECK_RELATIVE((double)rn_bf16_value((rn_bf16)(ds[m] >> 16 * i)), gradient, 0x1p-7);
      CHECK_EQUAL(rows[i * LD + m], (rn_bf16)(ds[m] >> 16 * i));
    }
  }
}

/* A score that is NaN must make the sum NaN, so that the loss shows it. */
static void nan_stays(const rn_kernels *kernels) {
  rn_columns seen[KEYS];
  float top[LD], sum[LD] = {0}, fade[LD];
  for (int m = 0; m < KEYS; m++) seen[m] = (rn_columns){0, LD};
  for (int n = 0; n < LD; n++) top[n] = -INFINITY;
  test_fill(s, KEYS * LD, 1, 8);
  const uint32_t with_payload = 0x7fc00001;
  memcpy(&s[9 * LD + 20], &with_payload, sizeof with_payload);
  kernels->softmax_block(&(rn_score_block){KEYS, LD, scale, seen, s, NULL, LD}, top, sum, fade);
  for (int n = 0; n < LD; n++) CHECK(isnan(sum[n]) == (n == 20));
}

int main(void) {
  int sets = 0;
  for (; rn_kernels_use(sets); sets++) {
    const rn_kernels *kernels = rn_kernels_table();
    for (int choice = 0; choice < 4; choice++) {
      const bool transposed = choice % 2 != 0, add = choice / 2 != 0;
      products(kernels, M, N, transposed, add);
      products(kernels, 16, 32, transposed, add);
      pair_products(kernels, M, N, transposed, add);
      pair_products(kernels, 16, 32, transposed, add);
    }
    for (int bf16 = 0; bf16 < 2; bf16++) {
      block(kernels, 32, bf16 != 0);
      block(kernels, 41, bf16 != 0);
    }
    backward(kernels, 32);
    backward(kernels, 43);
    backward_pair(kernels, 32, false);
    backward_pair(kernels, 43, true);
    nan_stays(kernels);
  }
  CHECK(sets >= 1);
  printf("%d sets of kernels, the widest %s\n", sets, rn_kernels_table()->name);
  return check_result();
}
