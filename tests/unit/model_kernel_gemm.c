/* Checks that the products of each GEMM backend match their formula for any shape and do not
 * write between rows. The results must not depend, bit for bit, on operand addresses, the
 * calling thread and preceding calls. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "model/base/threads.h"
#include "model/kernel/gemm.h"
#include "tests/support/products.h"
#include "tests/support/sets.h"

enum { MAX = 150, MAX_PAD = 16, AREA = (MAX + 1) * (MAX + MAX_PAD), THREADS = 2 };

typedef struct product {
  rn_gemm_kind kind;
  int m, n, k, lda, ldb, ldc;
  bool bf16, c_bf16;
  rn_real beta;
} product;

/* Memory for the operands of a call, which begin at element `shift`. */
typedef struct operands {
  rn_real a[AREA], b[AREA], c[AREA];
  rn_bf16 a16[AREA], b16[AREA], c16[AREA];
} operands;

static operands drawn, work[THREADS];

static void draw(void) {
  test_fill_both(drawn.a, drawn.a16, AREA, 1);
  test_fill_both(drawn.b, drawn.b16, AREA, 2);
  test_fill_both(drawn.c, drawn.c16, AREA, 3);
}

static void copy_shifted(operands *w, int shift) {
  const size_t count = (size_t)(AREA - shift);
  memcpy(w->a + shift, drawn.a, count * sizeof *w->a);
  memcpy(w->b + shift, drawn.b, count * sizeof *w->b);
  memcpy(w->c + shift, drawn.c, count * sizeof *w->c);
  memcpy(w->a16 + shift, drawn.a16, count * sizeof *w->a16);
  memcpy(w->b16 + shift, drawn.b16, count * sizeof *w->b16);
  memcpy(w->c16 + shift, drawn.c16, count * sizeof *w->c16);
}

static void multiply(const product *p, operands *w, int shift) {
  const rn_array a = p->bf16 ? rn_bf16s(w->a16 + shift) : rn_reals(w->a + shift);
  const rn_array b = p->bf16 ? rn_bf16s(w->b16 + shift) : rn_reals(w->b + shift);
  const rn_array c = p->c_bf16 ? rn_bf16s(w->c16 + shift) : rn_reals(w->c + shift);
  rn_gemm(p->kind, p->m, p->n, p->k, a, p->lda, b, p->ldb, p->beta, c, p->ldc);
}

static double element(const product *p, int i, int j, double *size) {
  double sum = p->beta != 0 ? (double)p->beta * (double)drawn.c[i * p->ldc + j] : 0;
  *size = fabs(sum) + 1;
  for (int l = 0; l < p->k; l++) {
    const double x = (double)drawn.a[p->kind == RN_GEMM_TN ? l * p->lda + i : i * p->lda + l];
    const bool by_rows = p->kind == RN_GEMM_NN || p->kind == RN_GEMM_TN;
    const double y = (double)drawn.b[by_rows ? l * p->ldb + j : j * p->ldb + l];
    sum += x * y;
    *size += fabs(x * y);
  }
  return sum;
}

static bool is_formula(const product *p) {
  const double within = test_product_tolerance(p->c_bf16);
  bool holds = true;
  for (int i = 0; i < p->m && holds; i++) {
    for (int j = 0; j < p->ldc && holds; j++) {
      const int at = i * p->ldc + j;
      const double got = p->c_bf16 ? (double)rn_bf16_value(work[0].c16[at]) : (double)work[0].c[at];
      double size = 0, want = (double)drawn.c[at];
      if (j < p->n) want = element(p, i, j, &size);
      holds = fabs(got - want) <= within * size;
    }
  }
  return holds;
}

static bool same_bits(const product *p, const operands *x, int x_shift, const operands *y,
                      int y_shift) {
  for (int i = 0; i < p->m; i++) {
    const int at = i * p->ldc;
    const size_t n = (size_t)p->n;
    if (p->c_bf16 ? memcmp(x->c16 + x_shift + at, y->c16 + y_shift + at, n * sizeof *x->c16) != 0
                  : memcmp(x->c + x_shift + at, y->c + y_shift + at, n * sizeof *x->c) != 0) {
      return false;
    }
  }
  return true;
}

static void check_product(const product *p, int shift) {
  copy_shifted(&work[0], 0);
  copy_shifted(&work[1], shift);
#pragma omp parallel
  {
    const int thread = omp_get_thread_num();
    if (thread == 0) multiply(p, &work[0], 0);
    if (thread == THREADS - 1) multiply(p, &work[1], shift);
  }
  const bool formula = is_formula(p);
  const bool elsewhere = same_bits(p, &work[0], 0, &work[1], shift);
  if (!CHECK(formula) || !CHECK(elsewhere)) {
    fprintf(stderr, "  %s, kind %d, m %d n %d k %d, ld %d %d %d, beta %g, %s to %s, shift %d\n",
            rn_gemm_backend_in_use()->name, (int)p->kind, p->m, p->n, p->k, p->lda, p->ldb, p->ldc,
            (double)p->beta, p->bf16 ? "bf16" : "reals", p->c_bf16 ? "bf16" : "reals", shift);
  }
}

static void check_table(bool bf16) {
  static const int common[] = {1, 2, 8, 16, 32, 48, 64, 96, 128};
  const test_sizes sizes = {common, sizeof common / sizeof *common, MAX, 0.5};
  const rn_random_key key = rn_random_key_named(RN_RANDOM_TEST, 1, "shapes");
  for (uint64_t i = 0; i < 400; i++) {
    product p = {.kind = (rn_gemm_kind)(i % 4), .bf16 = bf16};
    p.m = test_draw_size(&sizes, key, 4 * i);
    p.n = test_draw_size(&sizes, key, 4 * i + 1);
    p.k = test_draw_size(&sizes, key, 4 * i + 2);
    /* Some libraries use other code for matrices with a single row or column. */
    if (i % 10 == 7) p.m = 1;
    if (i % 10 == 8) p.n = 1;
    if (i % 10 == 9) p.k = 1;
    p.beta = (rn_real)(rn_random_uniform(key, 8 * i + 7) < 0.5);
    p.c_bf16 = bf16 && i % 8 >= 4;
    if (p.kind == RN_GEMM_NT_FP64_ACCUMULATE && p.k > RN_FP64_SUM_MAX) p.k = RN_FP64_SUM_MAX;
    p.lda = (p.kind == RN_GEMM_TN ? p.m : p.k) + test_pad(i / 4, MAX_PAD);
    p.ldb = (p.kind == RN_GEMM_NN || p.kind == RN_GEMM_TN ? p.n : p.k) + test_pad(i / 8, MAX_PAD);
    p.ldc = p.n + test_pad(i / 16, MAX_PAD);
    check_product(&p, (int)(i % 17));
  }
}

/* With argument "bf16", only bf16 products are tested; the test is skipped if there are none. */
int main(int argc, char **argv) {
  (void)argv;
  rn_threads_start(THREADS);
  draw();
  if (argc > 1) {
    test_use_bf16();
    CHECK(rn_gemm_takes_bf16());
    check_table(true);
    return check_result();
  }
  for (int i = 0; rn_gemm_backend_at(i) != NULL; i++) {
    rn_gemm_backend_swap(rn_gemm_backend_at(i));
    check_table(false);
  }
  return check_result();
}
