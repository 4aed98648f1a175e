/* Checks that blockwise attention and its gradients equal the formulas over all pairs of tokens,
 * with several blocks, windows, documents, grouped heads and heads of any width. The queries of a
 * part of a sequence must have the same results as in the whole sequence, and the bits must not
 * depend on the number of threads. */
#include "model/attention/attention.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/range.h"
#include "tests/support/check.h"
#include "tests/support/sets.h"

enum { T = 530, FIRST_PART = 130, ROWS = 2 * T, D = 4 * 40, PAIR = 2 * D, HEADS = 4 };

/* H heads, G key heads, width K of a head; window (0: none); B sequences. */
typedef struct sizes {
  int H, G, K, window, B;
} sizes;

typedef struct arrays {
  sizes of;
  rn_real q[ROWS * D], kv[ROWS * PAIR], d_o[ROWS * D];
  int32_t since[ROWS];
  rn_real o[ROWS * D], lse[ROWS * HEADS], delta[ROWS * HEADS], dq[ROWS * D], dkv[ROWS * PAIR];
  double want_o[ROWS * D], want_dq[ROWS * D], want_dkv[ROWS * PAIR];
} arrays;

static const double tolerance = sizeof(rn_real) == sizeof(double) ? 1e-12 : 2e-4;

static void fill(rn_real *x, int n, int seed) {
  for (int i = 0; i < n; i++) x[i] = (rn_real)(2 * sin(1.7 * i + seed + 0.001 * i * (i % 13)));
}

/* In the second sequence, documents begin at several tokens, among them block boundaries; the
 * first document has a single token. */
static void set_documents(arrays *x) {
  static const int begins[] = {0, 1, 128, 150, 256, 270};
  for (int row = 0; row < ROWS; row++) {
    bool begin = row % T == 0;
    for (int i = 0; i < 6 && row >= T; i++) begin = begin || row % T == begins[i];
    x->since[row] = begin ? 0 : x->since[row - 1] + 1;
  }
}

static arrays *take(sizes of) {
  arrays *x = calloc(1, sizeof *x);
  if (!CHECK(x != NULL)) exit(1);
  x->of = of;
  fill(x->q, ROWS * D, 1);
  fill(x->kv, ROWS * PAIR, 2);
  fill(x->d_o, ROWS * D, 3);
  set_documents(x);
  return x;
}

/* ---- the formulas ---- */

static bool seen(const arrays *x, int row, int n, int m) {
  const int window = x->of.window;
  return m <= n && m >= n - x->since[row] && (window == 0 || m > n - window);
}

/* Adds the output and the gradients of one query of one head, computed by the formulas, to the
 * expected arrays. */
static void plain_row(arrays *x, int b, int n, int h) {
  const int H = x->of.H, G = x->of.G, K = x->of.K;
  const int ld = 2 * G * K, row = b * T + n, at = row * H * K + h * K;
  const double scale = 1 / sqrt((double)K);
  double p[T] = {0}, dp[T] = {0}, sum = 0, delta = 0;
  for (int m = 0; m <= n; m++) {
    const int key = (b * T + m) * ld + h / (H / G) * K;
    double s = 0;
    for (int e = 0; e < K; e++) s += (double)x->q[at + e] * (double)x->kv[key + e] * scale;
    for (int e = 0; e < K; e++) dp[m] += (double)x->d_o[at + e] * (double)x->kv[key + G * K + e];
    p[m] = seen(x, row, n, m) ? exp(s) : 0;
    sum += p[m];
  }
  for (int m = 0; m <= n; m++) p[m] /= sum, delta += p[m] * dp[m];
  for (int m = 0; m <= n; m++) {
    const int key = (b * T + m) * ld + h / (H / G) * K;
    const double ds = p[m] * (dp[m] - delta) * scale;
    for (int e = 0; e < K; e++) {
      x->want_o[at + e] += p[m] * (double)x->kv[key + G * K + e];
      x->want_dq[at + e] += ds * (double)x->kv[key + e];
      x->want_dkv[key + e] += ds * (double)x->q[at + e];
      x->want_dkv[key + G * K + e] += p[m] * (double)x->d_o[at + e];
    }
  }
}

/* ---- by blocks ---- */

/* True if q, k, v, o and d_o are in bf16. */
static bool in_bf16;

/* Returns a view of x [count] or, if operands are in bf16, of a bf16 copy, which the caller frees
 * through *memory. */
static rn_array operand(rn_real *x, int count, rn_bf16 **memory) {
  *memory = NULL;
  if (!in_bf16) return rn_reals(x);
  *memory = malloc((size_t)count * sizeof **memory);
  if (*memory == NULL) exit(1);
  for (int i = 0; i < count; i++) (*memory)[i] = rn_bf16_of(x[i]);
  return rn_bf16s(*memory);
}

/* Runs forward and backward for `tokens` queries. `before` tokens precede them; only the keys and
 * values of these are used. */
static void blockwise(arrays *x, int before, int tokens) {
  const sizes *s = &x->of;
  const int width = s->H * s->K, pair = 2 * s->G * s->K;
  const rn_spec spec = {
      .dim = width, .attention_heads = s->H, .kv_heads = s->G, .attention_window = s->window};
  const rn_attention shape = rn_attention_shape(&spec, s->B, before + tokens);
  rn_bf16 *memory[4];
  const rn_array kv = operand(x->kv, ROWS * PAIR, &memory[0]);
  const rn_matrix o = {operand(x->o, ROWS * D, &memory[1]), width};
  const rn_matrix d_o = {operand(x->d_o, ROWS * D, &memory[2]), width};
  const rn_attention_view view = {.sequences = s->B,
                                  .tokens = tokens,
                                  .before = before,
                                  .doc_position = x->since,
                                  .q = {operand(x->q, ROWS * D, &memory[3]), width},
                                  .k = {kv, pair},
                                  .v = {rn_array_from(kv, pair / 2), pair}};
  const rn_attention_grads grads = {d_o, x->dq, x->dkv, x->dkv + pair / 2, pair, false};
  rn_attention a;
  rn_err err = {0};
  if (!CHECK_OK(&err, rn_attention_create(&err, &shape, &a))) return;
  rn_attention_forward(&a, &view, o, x->lse);
  rn_attention_backward(&a, &view, o, x->lse, x->delta, &grads);
  rn_attention_destroy(&a);
  for (int i = 0; i < ROWS * D && in_bf16; i++) x->o[i] = rn_array_value(o.x, i);
  for (int i = 0; i < 4; i++) free(memory[i]);
}

/* Returns the largest difference, for comparison with `tolerance`. In bf16 it is relative to the
 * largest value, and scaled so that a relative error of 0.03 becomes `tolerance`. */
static double distance(int n, const rn_real *got, const double *want) {
  double most = 0, largest = 0;
  for (int i = 0; i < n; i++) {
    most = fmax(most, fabs((double)got[i] - want[i]));
    largest = fmax(largest, fabs(want[i]));
  }
  return in_bf16 ? most / largest * tolerance / 0.03 : most;
}

static void equals_the_formulas(sizes s) {
  arrays *x = take(s);
  for (int i = 0; i < s.B * T * s.H; i++) plain_row(x, i / (T * s.H), i / s.H % T, i % s.H);
  blockwise(x, 0, T);
  CHECK_NEAR(distance(s.B * T * s.H * s.K, x->o, x->want_o), 0, tolerance);
  CHECK_NEAR(distance(s.B * T * s.H * s.K, x->dq, x->want_dq), 0, tolerance);
  CHECK_NEAR(distance(s.B * T * 2 * s.G * s.K, x->dkv, x->want_dkv), 0, tolerance);
  free(x);
}

/* Copies the given rows of each sequence from array `from` to the beginning of array `to`. */
static void cut_rows(const sizes *s, int width, rn_range rows, const rn_real *from, rn_real *to) {
  const int64_t count = rn_range_count(rows);
  for (int b = 0; b < s->B; b++) {
    memcpy(to + b * count * width, from + (b * T + rows.begin) * width,
           (size_t)(count * width) * sizeof *to);
  }
}

/* Runs the given queries alone, with all keys from the beginning of the sequence. */
static arrays *run_part(const arrays *whole, rn_range queries) {
  const sizes *s = &whole->of;
  arrays *part = take(*s);
  cut_rows(s, s->H * s->K, queries, whole->q, part->q);
  cut_rows(s, s->H * s->K, queries, whole->d_o, part->d_o);
  cut_rows(s, 2 * s->G * s->K, (rn_range){0, queries.end}, whole->kv, part->kv);
  for (int64_t b = 0; b < s->B; b++) {
    for (int64_t n = queries.begin; n < queries.end; n++) {
      part->since[b * rn_range_count(queries) + n - queries.begin] = whole->since[b * T + n];
    }
  }
  blockwise(part, (int)queries.begin, (int)rn_range_count(queries));
  return part;
}

static void parts_equal_the_whole(sizes s) {
  const int width = s.H * s.K, pair = 2 * s.G * s.K, left = T - FIRST_PART;
  arrays *x = take(s), *want = take(s);
  blockwise(x, 0, T);
  arrays *first = run_part(x, (rn_range){0, FIRST_PART}),
         *rest = run_part(x, (rn_range){FIRST_PART, T});
  cut_rows(&s, width, (rn_range){FIRST_PART, T}, x->o, want->o);
  cut_rows(&s, width, (rn_range){FIRST_PART, T}, x->dq, want->dq);
  CHECK(memcmp(rest->o, want->o, (size_t)(s.B * left * width) * sizeof(rn_real)) == 0);
  CHECK(memcmp(rest->dq, want->dq, (size_t)(s.B * left * width) * sizeof(rn_real)) == 0);
  double most = 0;
  for (int row = 0; row < s.B * T; row++) {
    const int b = row / T, n = row % T;
    for (int e = 0; e < pair; e++) {
      double sum = (double)rest->dkv[row * pair + e];
      if (n < FIRST_PART) sum += (double)first->dkv[(b * FIRST_PART + n) * pair + e];
      most = fmax(most, fabs(sum - (double)x->dkv[row * pair + e]));
    }
  }
  CHECK_NEAR(most, 0, tolerance);
  free(x);
  free(want);
  free(first);
  free(rest);
}

static void threads_do_not_change_bits(sizes s) {
  arrays *one = take(s), *three = take(s);
  omp_set_num_threads(1);
  blockwise(one, 0, T);
  omp_set_num_threads(3);
  blockwise(three, 0, T);
  CHECK(memcmp(one->o, three->o, sizeof one->o) == 0);
  CHECK(memcmp(one->dq, three->dq, sizeof one->dq) == 0);
  CHECK(memcmp(one->dkv, three->dkv, sizeof one->dkv) == 0);
  free(one);
  free(three);
}

static void check_all(void) {
  equals_the_formulas((sizes){4, 4, 6, 0, 2});
  equals_the_formulas((sizes){4, 2, 6, 0, 2});
  equals_the_formulas((sizes){4, 1, 6, 9, 2});
  equals_the_formulas((sizes){2, 1, 6, 140, 2});
  equals_the_formulas((sizes){2, 1, 40, 300, 1});
  parts_equal_the_whole((sizes){4, 2, 6, 0, 2});
  parts_equal_the_whole((sizes){2, 2, 6, 50, 2});
  threads_do_not_change_bits((sizes){4, 2, 6, 140, 2});
}

/* Products of bf16 operands are computed by the kernels if the kernel set has the instructions and
 * the backend is not faster, otherwise by the backend. Checks the variant that this CPU uses, then
 * products by the backend. */
static void check_bf16(void) {
  rn_gemm_backend with_tiles = *rn_gemm_backend_in_use();
  in_bf16 = true;
  check_all();
  with_tiles.bf16_by_tiles = true;
  const rn_gemm_backend *before = rn_gemm_backend_swap(&with_tiles);
  check_all();
  rn_gemm_backend_swap(before);
}

int main(int argc, char **argv) {
  (void)argv;
  test_use_sets();
  if (argc > 1) test_use_bf16();
  omp_set_num_threads(2);
  (argc > 1 ? check_bf16 : check_all)();
  return check_result();
}
