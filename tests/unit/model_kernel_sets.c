/* Checks that each kernel set matches the reference set within rounding, for any sizes. */
#include <stdlib.h>
#include <string.h>

#include "model/base/threads.h"
#include "model/kernel/gemm.h"
#include "model/kernel/kernels.h"
#include "tests/support/gradient.h"
#include "tests/support/sets.h"

enum { K = 40, V = 72, TOKENS = 150, LD = K + V + 3, N = 531 };

/* Results of a kernel set, for comparison with those of `ref`. */
typedef struct results {
  rn_real own[K * V], o[TOKENS * LD], sums[TOKENS], d_own[K * V];
  rn_real dq[TOKENS * LD], dk[TOKENS * LD], dv[TOKENS * LD];
  rn_real rotated[N], normed[N], factor, d_normed[N], gated[N], dz[N], dg[N], gated_recomputed[N];
  rn_real decayed[N], y[N], stat[2], dx[N], value[N], slope[N], product[N], d_inner[2 * N],
      product_recomputed[N];
  double dw[N], db[N], loss;
  rn_real logits[N];
} results;

enum { WORK = 3 * RN_CHUNK_TILE * TOKENS + TOKENS * V };

/* Operands of a chunk, in rn_real or bf16. */
typedef struct operands {
  rn_array q, k, v, dout, state, adjoint;
} operands;

static rn_array operand(bool bf16, int count, uint64_t seed) {
  static rn_real reals[6][TOKENS * LD];
  static rn_bf16 bf16s[6][TOKENS * LD];
  test_fill(reals[seed], count, 1, seed + 1);
  if (!bf16) return rn_reals(reals[seed]);
  for (int i = 0; i < count; i++) bf16s[seed][i] = rn_bf16_of(reals[seed][i]);
  return rn_bf16s(bf16s[seed]);
}

static operands operands_of_type(bool bf16) {
  return (operands){operand(bf16, TOKENS * LD, 0), operand(bf16, TOKENS * LD, 1),
                    operand(bf16, TOKENS * LD, 2), operand(bf16, TOKENS * LD, 3),
                    operand(bf16, K * V, 4),       operand(bf16, K * V, 5)};
}

static void run_chunk(const rn_kernels *kernels, const rn_chunk *c, bool bf16, results *r) {
  static rn_real work[WORK];
  const rn_chunk_grads grads = {r->dq, r->dk, r->dv, LD, LD};
  const operands x = operands_of_type(bf16);
  kernels->chunk_own(c, x.k, x.v, work, r->own);
  kernels->chunk_inner(c, x.q, x.k, x.v, work, r->o, r->sums, 1);
  kernels->chunk_cross(c, x.q, x.state, work, r->o);
  kernels->chunk_own_backward(c, x.q, x.dout, work, r->d_own);
  kernels->chunk_inner_backward(c, x.q, x.k, x.v, x.dout, work, &grads);
  kernels->chunk_cross_backward(c, x.k, x.v, x.dout, x.state, x.adjoint, work, &grads);
}

static void run_rows(const rn_kernels *kernels, int n, rn_head_norm head_norm, rn_block_norm norm,
                     rn_rotary rotary, rn_activation activation, results *r) {
  static rn_real x[2 * N], w[N], b[N], dy[N], cosine[N], sine[N];
  test_fill(x, 2 * N, 2, 7);
  test_fill(w, N, 1, 8);
  test_fill(b, N, 1, 9);
  test_fill(dy, N, 1, 10);
  test_fill(cosine, N, 1, 11);
  test_fill(sine, N, 1, 12);
  const size_t bytes = (size_t)n * sizeof *x;
  memcpy(r->rotated, x, bytes);
  kernels->rotate(rotary, 1, n / 2 * 2, cosine, sine, -1, (rn_real)0.5, r->rotated);
  memcpy(r->normed, x, bytes);
  r->factor = kernels->head_norm(head_norm, n, 1e-5, (rn_real)0.25, r->normed);
  memcpy(r->d_normed, dy, bytes);
  kernels->head_norm_backward(head_norm, n, r->normed, r->factor, r->d_normed);
  kernels->gate(n, r->normed, w, x, r->gated);
  memcpy(r->dz, dy, bytes);
  memcpy(r->dg, x, bytes);
  kernels->gate_backward(n, r->normed, w, r->dg, r->dz, r->gated_recomputed);
  CHECK_ARRAY("gated, again", r->gated_recomputed, r->gated, n, 4 * test_tolerance);
  memcpy(r->decayed, x, bytes);
  kernels->decay_and_add((rn_real)0.75, n, b, r->decayed);
  kernels->norm(norm, n, 1e-5, w, b, x, rn_reals(r->y), r->stat);
  kernels->norm_backward(norm, n, w, x, r->stat, dy, b, r->dx);
  kernels->norm_weight(n, x, r->stat, dy, r->dw, r->db);
  kernels->activate(activation, n, x, r->value, r->slope);
  kernels->ffn(activation, n, x, x + n, r->product);
  memcpy(r->d_inner, x, 2 * bytes);
  kernels->ffn_backward(activation, n, dy, r->d_inner, r->d_inner + n, r->product_recomputed);
  CHECK_ARRAY("product, again", r->product_recomputed, r->product, n, 4 * test_tolerance);
  memcpy(r->logits, x, bytes);
  r->loss = kernels->cross_entropy(n, r->logits, n / 2, true, 0.125);
}

#define NEAR(field, count, within) CHECK_ARRAY(#field, got->field, want->field, count, within)
#define SAME(field, count) NEAR(field, count, 4 * test_tolerance)

static void compare_chunks(const results *got, const results *want, double within) {
  NEAR(own, K * V, within);
  NEAR(o, TOKENS * LD, within);
  NEAR(sums, TOKENS, within);
  NEAR(d_own, K * V, within);
  NEAR(dq, TOKENS * LD, within);
  NEAR(dk, TOKENS * LD, within);
  NEAR(dv, TOKENS * LD, within);
}

static void compare_rows(const results *got, const results *want) {
  SAME(rotated, N);
  SAME(normed, N);
  CHECK_RELATIVE((double)got->factor, (double)want->factor, test_tolerance);
  SAME(d_normed, N);
  SAME(gated, N);
  SAME(gated_recomputed, N);
  SAME(dz, N);
  SAME(dg, N);
  SAME(decayed, N);
  SAME(y, N);
  SAME(dx, N);
  SAME(dw, N);
  SAME(db, N);
  SAME(value, N);
  SAME(slope, N);
  SAME(product, N);
  SAME(product_recomputed, N);
  SAME(d_inner, 2 * N);
  SAME(logits, N);
  CHECK_RELATIVE(got->loss, want->loss, test_tolerance);
}

/* If `boundary`, a document begins inside the chunk. The tolerance for bf16 allows for
 * operands with a significand of 8 bits. */
static void chunks_agree(int set, bool boundary, bool bf16) {
  static rn_real powers[TOKENS + 1];
  static int32_t doc_position[TOKENS];
  results *got = calloc(1, sizeof *got), *want = calloc(1, sizeof *want);
  for (int i = 0; i < TOKENS; i++) doc_position[i] = boundary && i >= 70 ? i - 70 : 500 + i;
  for (int i = 0; i <= TOKENS; i++) powers[TOKENS - i] = (rn_real)pow(0.97, i);
  rn_chunk chunk = {TOKENS, K, V, LD, LD, LD, LD, powers + TOKENS, doc_position, 0, 0};
  rn_chunk_cut(&chunk);
  CHECK(rn_kernels_use(0));
  run_chunk(rn_kernels_table(), &chunk, false, want);
  CHECK(rn_kernels_use(set));
  run_chunk(rn_kernels_table(), &chunk, bf16, got);
  compare_chunks(got, want, bf16 ? 1.0 / 64 : 4 * test_tolerance);
  free(got);
  free(want);
}

static void rows_agree(int set, int n, int choice) {
  results *got = calloc(1, sizeof *got), *want = calloc(1, sizeof *want);
  const rn_head_norm head_norm = (rn_head_norm)(choice % 4);
  const rn_block_norm norm = (rn_block_norm)(choice % 2);
  const rn_rotary rotary = (rn_rotary)(choice % 3);
  const rn_activation activation = (rn_activation)(choice % 2);
  CHECK(rn_kernels_use(0));
  run_rows(rn_kernels_table(), n, head_norm, norm, rotary, activation, want);
  CHECK(rn_kernels_use(set));
  run_rows(rn_kernels_table(), n, head_norm, norm, rotary, activation, got);
  compare_rows(got, want);
  free(got);
  free(want);
}

/* Checks rounding to nearest, ties to even; `want` has the expected bits. Infinities and NaN
 * must be kept. */
static void rounding_is_to_nearest(int set) {
  const rn_real x[] = {1, (rn_real)1.00390625, (rn_real)1.01171875, (rn_real)-1.005, INFINITY, NAN};
  const uint16_t want[] = {0x3f80, 0x3f80, 0x3f82, 0xbf81, 0x7f80};
  uint16_t y[6];
  CHECK(rn_kernels_use(set));
  rn_kernels_table()->round_bf16(6, x, y);
  for (int i = 0; i < 5; i++) CHECK_EQUAL(y[i], want[i]);
  CHECK((y[5] & 0x7fff) > 0x7f80);
}

/* Checks the product, and that its bits do not depend on how rows and columns are divided into
 * calls. */
static void skinny_gemm_is_a_product(int set, int k, rn_real beta, bool bf16) {
  enum { MAX_ROWS = 9, COLS = 23, LDX = 150, LDY = 29 };
  static rn_real x[MAX_ROWS * LDX], w[COLS * LDX], before[MAX_ROWS * LDY];
  rn_real whole[MAX_ROWS * LDY], cut[MAX_ROWS * LDY];
  double want[COLS];
  test_fill(x, MAX_ROWS * LDX, 1, 13);
  test_fill(w, COLS * LDX, 1, 14);
  static rn_bf16 bf16s[COLS * LDX];
  for (int i = 0; i < COLS * LDX && bf16; i++) w[i] = rn_bf16_value(bf16s[i] = rn_bf16_of(w[i]));
  const rn_array weights = bf16 ? rn_bf16s(bf16s) : rn_reals(w);
  test_fill(before, MAX_ROWS * LDY, 1, 15);
  CHECK(rn_kernels_use(set));
  const rn_kernels *kernels = rn_kernels_table();
  memcpy(whole, before, sizeof whole);
  kernels->skinny_gemm(MAX_ROWS, COLS, k, x, LDX, weights, LDX, beta, whole, LDY);
  for (int i = 0; i < MAX_ROWS; i++) {
    for (int j = 0; j < COLS; j++) {
      want[j] = (double)beta * (double)before[i * LDY + j] + test_dot(x + i * LDX, w + j * LDX, k);
      CHECK_NEAR((double)whole[i * LDY + j], want[j], 1e-5);
    }
  }
  for (int rows = 1; rows < 6; rows++) {
    for (int cols = 1; cols < 7; cols++) {
      memcpy(cut, before, sizeof cut);
      for (int i = 0; i < MAX_ROWS; i += rows) {
        for (int j = 0; j < COLS; j += cols) {
          const int m = i + rows < MAX_ROWS ? rows : MAX_ROWS - i;
          const int n = j + cols < COLS ? cols : COLS - j;
          kernels->skinny_gemm(m, n, k, x + i * LDX, LDX, rn_array_from(weights, j * LDX), LDX,
                               beta, cut + i * LDY + j, LDY);
        }
      }
      CHECK(memcmp(cut, whole, sizeof cut) == 0);
    }
  }
}

/* Short sums must be accumulated in double, so that cancellation costs no digits. */
static void fp64_sums_are_exact(int set) {
  const rn_real x[4] = {1, 1, -1, 1}, w[4] = {1 << 26, 1, 1 << 26, (rn_real)0.5};
  rn_real y = 0;
  CHECK(rn_kernels_use(set));
  rn_kernels_table()->skinny_gemm(1, 1, 4, x, 4, rn_reals(w), 4, 0, &y, 1);
  CHECK_NEAR((double)y, 1.5, 0);
}

/* Checks one token of a head: the state decays, k^T v is added, and o = q state. */
static void recurrence_is_its_formula(int set, int key_width, int value_width) {
  static rn_real state[K * V], before[K * V], alone[K * V];
  rn_real q[K], k[K], v[V], o[V];
  const double decay = 0.875;
  test_fill(q, K, 1, 16);
  test_fill(k, K, 1, 17);
  test_fill(v, V, 1, 18);
  test_fill(before, K * V, 1, 19);
  memcpy(state, before, sizeof state);
  memcpy(alone, before, sizeof alone);
  CHECK(rn_kernels_use(set));
  rn_kernels_table()->recur(key_width, value_width, (rn_real)decay, q, k, v, state, o);
  rn_kernels_table()->recur(key_width, value_width, (rn_real)decay, q, k, v, alone, NULL);
  CHECK(memcmp(alone, state, sizeof alone) == 0);
  for (int e = 0; e < value_width; e++) {
    double sum = 0;
    for (int d = 0; d < key_width; d++) {
      const int at = d * value_width + e;
      const double want = decay * (double)before[at] + (double)k[d] * (double)v[e];
      CHECK_NEAR((double)state[at], want, 1e-6);
      sum += (double)q[d] * want;
    }
    CHECK_NEAR((double)o[e], sum, 1e-5);
  }
}

/* Checks that a norm written in bf16 is the rounded norm, and that widen_bf16 is exact. */
static void rows_in_bf16_are_rounded(int set, int n, rn_block_norm kind) {
  rn_real x[N], w[N], b[N], y[N], wide[N], stat[2];
  rn_bf16 rounded[N], bf16[N];
  test_fill(x, N, 1, 1);
  test_fill(w, N, 1, 2);
  test_fill(b, N, 1, 3);
  CHECK(rn_kernels_use(set));
  const rn_kernels *kernels = rn_kernels_table();
  kernels->norm(kind, n, 1e-5, w, kind == RN_BLOCK_NORM_LAYER ? b : NULL, x, rn_reals(y), stat);
  kernels->norm(kind, n, 1e-5, w, kind == RN_BLOCK_NORM_LAYER ? b : NULL, x, rn_bf16s(bf16), stat);
  kernels->round_bf16(n, y, rounded);
  kernels->widen_bf16(n, bf16, wide);
  for (int i = 0; i < n; i++) {
    CHECK_EQUAL(bf16[i], rounded[i]);
    CHECK(wide[i] == rn_bf16_value(rounded[i]));
  }
}

static int chunks_in_bf16_agree(void) {
  test_use_bf16();
  for (int set = 0; rn_kernels_use(set); set++) {
    chunks_agree(set, false, true);
    chunks_agree(set, true, true);
  }
  return check_result();
}

/* With argument "bf16", only chunks in bf16 are tested; the test is skipped if there are no bf16
 * products. */
int main(int argc, char **argv) {
  (void)argv;
  rn_threads_start(1);
  if (argc > 1) return chunks_in_bf16_agree();
  int sets = 0;
  while (rn_kernels_use(sets)) {
    rounding_is_to_nearest(sets);
    for (int k = 62; k < 150; k += 7) {
      skinny_gemm_is_a_product(sets, k, (rn_real)(k % 3 / 2.0), false);
      skinny_gemm_is_a_product(sets, k, (rn_real)(k % 3 / 2.0), true);
    }
    fp64_sums_are_exact(sets);
    recurrence_is_its_formula(sets, K, V);
    recurrence_is_its_formula(sets, 6, 7);
    chunks_agree(sets, false, false);
    chunks_agree(sets, true, false);
    rows_in_bf16_are_rounded(sets, N, RN_BLOCK_NORM_RMS);
    rows_in_bf16_are_rounded(sets, 7, RN_BLOCK_NORM_LAYER);
    for (int choice = 0; choice < 12; choice++) {
      rows_agree(sets, N, choice);
      rows_agree(sets, 2 + choice, choice);
    }
    sets++;
  }
  CHECK(sets >= 1 && !rn_kernels_use(-1));
  printf("%d sets of kernels, the widest %s\n", sets, rn_kernels_table()->name);
  return check_result();
}
