/* Checks that blockwise attention and its gradients equal the formulas over all pairs of tokens,
 * with several blocks, windows, documents and grouped heads, and that the results do not depend
 * on the number of threads, bit for bit. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/attention/attention.h"
#include "tests/support/check.h"

enum { B = 2, T = 300, H = 4, K = 6 };

typedef struct arrays {
  rn_real q[B * T * H * K], kv[B * T * 2 * H * K], d_o[B * T * H * K];
  rn_real o[B * T * H * K], lse[B * T * H], delta[B * T * H];
  rn_real dq[B * T * H * K], dkv[B * T * 2 * H * K];
  double want_o[B * T * H * K], want_dq[B * T * H * K], want_dkv[B * T * 2 * H * K];
  int32_t since[B * T];
  rn_attention a;
  rn_attention_view view;
} arrays;

static void fill(rn_real *x, int n, int seed) {
  for (int i = 0; i < n; i++) x[i] = (rn_real)(2 * sin(1.7 * i + seed + 0.001 * i * (i % 13)));
}

/* In the second sequence, documents begin at several tokens, among them block boundaries; the
 * first document has a single token. */
static void set_documents(arrays *x) {
  static const int begins[] = {0, 1, 128, 150, 256, 270};
  for (int row = 0; row < B * T; row++) {
    bool begin = row % T == 0;
    for (int i = 0; i < 6 && row >= T; i++) begin = begin || row % T == begins[i];
    x->since[row] = begin ? 0 : x->since[row - 1] + 1;
  }
}

static bool seen(const arrays *x, int row, int n, int m) {
  const int window = x->a.window;
  return m <= n && m >= n - x->since[row] && (window == 0 || m > n - window);
}

/* Adds the output and the gradients of one query of one head, computed by the formulas. */
static void plain_row(arrays *x, int b, int n, int h) {
  const int G = x->a.kv_heads, ld = 2 * G * K, row = b * T + n, at = row * H * K + h * K;
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

static void plain(arrays *x) {
  memset(x->want_o, 0, sizeof x->want_o);
  memset(x->want_dq, 0, sizeof x->want_dq);
  memset(x->want_dkv, 0, sizeof x->want_dkv);
  for (int i = 0; i < B * T * H; i++) plain_row(x, i / (T * H), i / H % T, i % H);
}

static void blockwise(arrays *x) {
  const int G = x->a.kv_heads;
  const rn_attention_grads grads = {x->d_o, x->dq, x->dkv, x->dkv + G * K};
  rn_attention_forward(&x->a, &x->view, x->o, x->lse);
  rn_attention_backward(&x->a, &x->view, x->o, x->lse, x->delta, &grads);
}

static double distance(int n, const rn_real *got, const double *want) {
  double most = 0;
  for (int i = 0; i < n; i++) most = fmax(most, fabs((double)got[i] - want[i]));
  return most;
}

static void equals_the_formulas(arrays *x, int kv_heads, int window) {
  rn_err err = {0};
  const double tolerance = sizeof(rn_real) == sizeof(double) ? 1e-12 : 2e-4;
  rn_spec spec = {.dim = H * K, .attention_heads = H, .kv_heads = kv_heads};
  spec.attention_window = window;
  if (!CHECK_OK(&err, rn_attention_create(&err, &spec, &x->a))) return;
  const int ld = 2 * kv_heads * K;
  x->view = (rn_attention_view){B, T, x->since, x->q, x->kv, x->kv + kv_heads * K, H * K, ld};
  plain(x);
  blockwise(x);
  CHECK_NEAR(distance(B * T * H * K, x->o, x->want_o), 0, tolerance);
  CHECK_NEAR(distance(B * T * H * K, x->dq, x->want_dq), 0, tolerance);
  CHECK_NEAR(distance(B * T * ld, x->dkv, x->want_dkv), 0, tolerance);
  rn_attention_destroy(&x->a);
}

static void threads_do_not_change_bits(arrays *x) {
  rn_err err = {0};
  rn_spec spec = {.dim = H * K, .attention_heads = H, .kv_heads = 2, .attention_window = 140};
  arrays *one = malloc(sizeof *one);
  if (!CHECK(one != NULL)) return;
  for (int threads = 1; threads <= 3; threads += 2) {
    omp_set_num_threads(threads);
    if (!CHECK_OK(&err, rn_attention_create(&err, &spec, &x->a))) break;
    x->view = (rn_attention_view){B, T, x->since, x->q, x->kv, x->kv + 2 * K, H * K, 4 * K};
    blockwise(x);
    rn_attention_destroy(&x->a);
    if (threads == 1) memcpy(one, x, sizeof *one);
  }
  CHECK(memcmp(one->o, x->o, sizeof x->o) == 0);
  CHECK(memcmp(one->dq, x->dq, sizeof x->dq) == 0);
  CHECK(memcmp(one->dkv, x->dkv, sizeof x->dkv) == 0);
  free(one);
}

int main(void) {
  arrays *x = calloc(1, sizeof *x);
  if (x == NULL) return 1;
  omp_set_num_threads(2);
  fill(x->q, B * T * H * K, 1);
  fill(x->kv, B * T * 2 * H * K, 2);
  fill(x->d_o, B * T * H * K, 3);
  set_documents(x);
  equals_the_formulas(x, H, 0);
  equals_the_formulas(x, 2, 0);
  equals_the_formulas(x, 1, 9);
  equals_the_formulas(x, 2, 140);
  threads_do_not_change_bits(x);
  free(x);
  return check_result();
}
