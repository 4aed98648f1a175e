/* Checks that products with a packed weight match their formula for any shape, column range and
 * stride, and do not write outside their columns. The results must not depend, bit for bit, on the
 * division of the columns, on the calling thread or on preceding calls. Packing must not read
 * beyond the weight. */
#include "model/kernel/gemm_pack.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/threads.h"
#include "tests/support/products.h"
#include "tests/support/sets.h"

enum { MAX = 300, MAX_PAD = 32, AREA = MAX * (MAX + MAX_PAD), THREADS = 2 };

typedef struct product {
  rn_gemm_kind kind;
  int rows, n, k, ldx, ldw, ldy;
  rn_range cols;
  bool bf16, y_bf16;
  rn_real beta;
} product;

static rn_real drawn_x[AREA], drawn_w[AREA], drawn_y[AREA];
static rn_bf16 x16[AREA], w16[AREA], drawn_y16[AREA];

typedef struct result {
  rn_real y[AREA];
  rn_bf16 y16[AREA];
} result;

static result got[THREADS];

static void draw(void) {
  test_fill_both(drawn_x, x16, AREA, 1);
  test_fill_both(drawn_w, w16, AREA, 2);
  test_fill_both(drawn_y, drawn_y16, AREA, 3);
}

/* Returns a copy of the weight at the end of an allocation, so that a sanitizer detects reads
 * beyond it. */
static rn_array copy_of_weight(const product *p) {
  const int rows = p->kind == RN_GEMM_NT ? p->n : p->k, cols = p->kind == RN_GEMM_NT ? p->k : p->n;
  const size_t count = (size_t)((rows - 1) * p->ldw + cols);
  const size_t bytes = count * rn_element_bytes(p->bf16);
  void *copy = malloc(bytes);
  memcpy(copy, p->bf16 ? (const void *)w16 : (const void *)drawn_w, bytes);
  return (rn_array){copy, p->bf16};
}

static rn_packed_weight pack(const product *p, rn_array w) {
  const int64_t elements = rn_gemm_pack_elements(p->kind, p->n, p->k, p->bf16);
  rn_packed_weight weight = {.kind = p->kind, .n = p->n, .k = p->k, .w = {w, p->ldw}};
  if (elements == 0) return weight;
  const size_t bytes = (size_t)elements * rn_element_bytes(p->bf16);
  weight.packed = (rn_array){malloc(bytes), p->bf16};
  memset(weight.packed.at, 0x7f, bytes); /* NaN in pieces that are not packed */
#pragma omp parallel for
  for (int i = 0; i < rn_gemm_pack_pieces(&weight); i++) rn_gemm_pack_piece(&weight, i);
  return weight;
}

static void multiply(const product *p, const rn_packed_weight *weight, rn_range cols, result *r) {
  const rn_matrix x = {p->bf16 ? rn_bf16s(x16) : rn_reals(drawn_x), p->ldx};
  const rn_matrix y = {p->y_bf16 ? rn_bf16s(r->y16) : rn_reals(r->y), p->ldy};
  rn_gemm_packed(weight, p->rows, cols, x, p->beta, rn_matrix_from(y, 0, cols.begin));
}

static void start(result *r) {
  memcpy(r->y, drawn_y, sizeof r->y);
  memcpy(r->y16, drawn_y16, sizeof r->y16);
}

static double element(const product *p, int i, int j, double *size) {
  double sum = p->beta != 0 ? (double)drawn_y[i * p->ldy + j] : 0;
  *size = fabs(sum) + 1;
  for (int l = 0; l < p->k; l++) {
    const int at = p->kind == RN_GEMM_NT ? j * p->ldw + l : l * p->ldw + j;
    const double term = (double)drawn_x[i * p->ldx + l] * (double)drawn_w[at];
    sum += term;
    *size += fabs(term);
  }
  return sum;
}

static bool is_formula(const product *p, const result *r) {
  const double within = test_product_tolerance(p->y_bf16);
  for (int i = 0; i < p->rows; i++) {
    for (int j = 0; j < p->ldy; j++) {
      const int at = i * p->ldy + j;
      const bool computed = p->cols.begin <= j && j < p->cols.end;
      const double value = p->y_bf16 ? (double)rn_bf16_value(r->y16[at]) : (double)r->y[at];
      double size = 0, want = (double)drawn_y[at];
      if (computed) want = element(p, i, j, &size);
      if (!(fabs(value - want) <= within * size)) return false;
    }
  }
  return true;
}

static void check_product(const product *p) {
  const rn_array w = copy_of_weight(p);
  const rn_packed_weight weight = pack(p, w);
  if (weight.packed.at != NULL) {
    start(&got[0]);
    start(&got[1]);
#pragma omp parallel
    {
      const int thread = omp_get_thread_num();
      if (thread == 0) multiply(p, &weight, p->cols, &got[0]);
      if (thread == THREADS - 1) multiply(p, &weight, p->cols, &got[1]);
    }
    const bool formula = is_formula(p, &got[0]);
    const bool same = memcmp(&got[0], &got[1], sizeof got[0]) == 0;
    if (!CHECK(formula) || !CHECK(same)) {
      fprintf(
          stderr,
          "  %s, kind %d, rows %d n %d k %d, ld %d %d %d, columns %d .. %d, beta %g, %s to %s\n",
          rn_gemm_backend_in_use()->name, (int)p->kind, p->rows, p->n, p->k, p->ldx, p->ldw, p->ldy,
          (int)p->cols.begin, (int)p->cols.end, (double)p->beta, p->bf16 ? "bf16" : "reals",
          p->y_bf16 ? "bf16" : "reals");
    }
  }
  free(weight.packed.at);
  free(w.at);
}

static void check_backend(bool bf16) {
  static const int common[] = {1, 2, 16, 31, 32, 33, 63, 64, 65, 96, 128, 192, 256};
  const test_sizes sizes = {common, sizeof common / sizeof *common, MAX, 0.6};
  const rn_random_key key = rn_random_key_named(RN_RANDOM_TEST, 1, "packed shapes");
  for (uint64_t i = 0; i < 150; i++) {
    product p = {.kind = i % 2 == 0 ? RN_GEMM_NT : RN_GEMM_NN, .bf16 = bf16};
    p.rows = test_draw_size(&sizes, key, 5 * i);
    p.n = test_draw_size(&sizes, key, 5 * i + 1);
    p.k = test_draw_size(&sizes, key, 5 * i + 2);
    p.beta = (rn_real)(i / 2 % 2);
    p.y_bf16 = bf16 && i % 8 >= 4;
    p.ldx = p.k + test_pad(i, MAX_PAD);
    p.ldw = (p.kind == RN_GEMM_NT ? p.k : p.n) + test_pad(i / 2, MAX_PAD);
    p.ldy = p.n + test_pad(i / 4, MAX_PAD);
    /* Selects all columns, a range that begins with the first column of a panel, or any range. */
    p.cols = (rn_range){0, p.n};
    if (i % 3 > 0) p.cols.begin = (int64_t)(rn_random_uniform(key, 10 * i + 7) * p.n);
    if (i % 3 == 1) p.cols.begin -= p.cols.begin % RN_PACK_COLS;
    if (i % 3 > 0) {
      p.cols.end -=
          (int64_t)(rn_random_uniform(key, 10 * i + 9) * (double)(p.cols.end - p.cols.begin));
    }
    check_product(&p);
  }
}

/* With argument "bf16", only bf16 products are tested; the test is skipped if there are none. */
int main(int argc, char **argv) {
  (void)argv;
  rn_threads_start(THREADS);
  draw();
  if (argc > 1) {
    test_use_bf16();
    check_backend(true);
    return check_result();
  }
  for (int i = 0; rn_gemm_backend_at(i) != NULL; i++) {
    rn_gemm_backend_swap(rn_gemm_backend_at(i));
    check_backend(false);
  }
  return check_result();
}
