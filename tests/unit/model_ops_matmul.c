/* Checks that tiled products match a triple loop for any shape and GEMM backend, and that the
 * number of threads does not change the results, bit for bit. */
#include "model/ops/matmul.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/threads.h"
#include "model/kernel/gemm.h"
#include "model/ops/grad_accumulator.h"
#include "tests/support/gradient.h"
#include "tests/support/sets.h"

typedef enum { NT, NN, TN } product_kind;

/* c [m, n] = op(a) op(b) + beta c, with sums over k; row strides are `pad` longer than rows. */
typedef struct product {
  product_kind kind;
  int m, n, k, lda, ldb, ldc;
  rn_real beta;
  rn_real *a, *b, *c;
  int64_t c_count;
} product;

static product make(product_kind kind, int m, int n, int k, int pad, rn_real beta) {
  product p = {
      kind, m,    n,    k, (kind == TN ? m : k) + pad, (kind == NT ? k : n) + pad, n + pad, beta,
      NULL, NULL, NULL, 0};
  int64_t a_count = (int64_t)(kind == TN ? k : m) * p.lda;
  int64_t b_count = (int64_t)(kind == NT ? n : k) * p.ldb;
  p.c_count = (int64_t)m * p.ldc;
  p.a = malloc((size_t)(a_count + 1) * sizeof(rn_real));
  p.b = malloc((size_t)(b_count + 1) * sizeof(rn_real));
  p.c = malloc((size_t)(p.c_count + 1) * sizeof(rn_real));
  test_fill(p.a, a_count, 1, 1);
  test_fill(p.b, b_count, 1, 2);
  test_fill(p.c, p.c_count, 1, 3);
  return p;
}

static void destroy(product *p) {
  free(p->a);
  free(p->b);
  free(p->c);
}

static void run(product *p) {
  if (p->kind == NT) {
    rn_matmul_nt(rn_rows_together(p->m), p->n, p->k, rn_reals(p->a), p->lda, rn_reals(p->b), p->ldb,
                 p->beta, rn_reals(p->c), p->ldc);
  } else if (p->kind == NN) {
    rn_matmul_nn(rn_rows_together(p->m), p->n, p->k, rn_reals(p->a), p->lda, rn_reals(p->b), p->ldb,
                 p->beta, rn_reals(p->c), p->ldc);
  } else {
    rn_matmul_tn(p->k, p->m, p->n, rn_reals(p->a), p->lda, rn_reals(p->b), p->ldb, p->beta,
                 rn_reals(p->c), p->ldc);
  }
}

static void triple_loop(product *p) {
  for (int i = 0; i < p->m; i++) {
    for (int j = 0; j < p->n; j++) {
      double sum = 0;
      for (int l = 0; l < p->k; l++) {
        double a = p->kind == TN ? p->a[l * p->lda + i] : p->a[i * p->lda + l];
        double b = p->kind == NT ? p->b[j * p->ldb + l] : p->b[l * p->ldb + j];
        sum += a * b;
      }
      rn_real *c = &p->c[i * p->ldc + j];
      *c = (rn_real)(sum + (p->beta != 0 ? (double)p->beta * (double)*c : 0));
    }
  }
}

static void is_near_a_triple_loop(product_kind kind, int m, int n, int k, int pad, rn_real beta,
                                  double tolerance) {
  product got = make(kind, m, n, k, pad, beta), want = make(kind, m, n, k, pad, beta);
  run(&got);
  triple_loop(&want);
  CHECK_ARRAY("product", got.c, want.c, got.c_count, tolerance);
  destroy(&got);
  destroy(&want);
}

static void equals_a_triple_loop(product_kind kind, int m, int n, int k, int pad, rn_real beta) {
  is_near_a_triple_loop(kind, m, n, k, pad, beta, 10 * test_tolerance);
}

static void threads_do_not_change_bits(product_kind kind, int m, int n, int k) {
  product one = make(kind, m, n, k, 0, 1), more = make(kind, m, n, k, 0, 1);
  rn_threads_start(1);
  run(&one);
  for (int threads = 2; threads <= 3; threads++) {
    rn_threads_start(threads);
    test_fill(more.c, more.c_count, 1, 3);
    run(&more);
    CHECK(memcmp(one.c, more.c, (size_t)one.c_count * sizeof one.c[0]) == 0);
  }
  destroy(&one);
  destroy(&more);
}

static void beta_zero_forgets_what_was_there(double tolerance) {
  product p = make(NT, 3, 4, 5, 0, 0), want = make(NT, 3, 4, 5, 0, 0);
  for (int i = 0; i < 12; i++) p.c[i] = (rn_real)NAN;
  run(&p);
  triple_loop(&want);
  CHECK_ARRAY("over NaN", p.c, want.c, 12, tolerance);
  destroy(&p);
  destroy(&want);
}

/* Checks each element with a relative tolerance, also where the sum nearly cancels, since only
 * the result is rounded. */
static void fp64_sums_are_rounded_once(int m, int n, int k) {
  product got = make(NT, m, n, k, 2, 0), want = make(NT, m, n, k, 2, 0);
  rn_tile_nt_fp64_accumulate(&(rn_step_tile){.rows = {0, m}, .cols = {0, n}},
                             &(rn_tile_product){.sum = k,
                                                .x = rn_matrix_of_reals(got.a, got.lda),
                                                .w = rn_matrix_of_reals(got.b, got.ldb),
                                                .y = rn_matrix_of_reals(got.c, got.ldc)});
  triple_loop(&want);
  const double close = sizeof(rn_real) == 4 ? ldexp(1, -23) : 1e-9;
  int64_t off = 0;
  for (int64_t i = 0; i < got.c_count; i++) {
    const double size = fabs((double)want.c[i]);
    if (!(fabs((double)got.c[i] - (double)want.c[i]) <= close * size)) off++;
  }
  CHECK_EQUAL(off, 0);
  destroy(&got);
  destroy(&want);
}

static void an_accumulator_adds_products_and_vectors(void) {
  product p = make(TN, 6, 7, 5, 0, 1);
  rn_real gradient[60];
  rn_grad_accumulator accumulator = {.gradient = gradient, .total = 60};
  test_fill(gradient, 60, 1, 9);
  rn_grad_accumulator_start(&accumulator);
  for (int i = 0; i < 60; i++) CHECK(gradient[i] == 0);
  const rn_matrix a = rn_matrix_of_reals(p.a, p.lda), b = rn_matrix_of_reals(p.b, p.ldb);
  rn_grad_accumulator_product(&accumulator, (rn_weight){10, 6, 7}, rn_rows_together(5), a, b);
  rn_grad_accumulator_product(&accumulator, (rn_weight){10, 6, 7}, rn_rows_together(5), a, b);
  rn_grad_accumulator_vector(&accumulator, 52, 3, p.b);
  rn_grad_accumulator_vector(&accumulator, 52, 3, p.b);
  memset(p.c, 0, (size_t)p.c_count * sizeof p.c[0]);
  triple_loop(&p);
  for (int i = 0; i < 42; i++) p.c[i] *= 2;
  CHECK_ARRAY("product", gradient + 10, p.c, 42, test_tolerance);
  for (int i = 0; i < 60; i++) {
    if (i >= 52 && i < 55) {
      CHECK(gradient[i] == 2 * p.b[i - 52]);
    } else if (i < 10 || i >= 52) {
      CHECK(gradient[i] == 0);
    }
  }
  destroy(&p);
}

static void products_are_right(void) {
  for (product_kind kind = NT; kind <= TN; kind++) {
    equals_a_triple_loop(kind, 1, 1, 1, 0, 0);
    equals_a_triple_loop(kind, 7, 5, 9, 3, 1);
    equals_a_triple_loop(kind, 131, 70, 40, 1, (rn_real)0.5);
    equals_a_triple_loop(kind, 257, 515, 30, 0, 0);
    equals_a_triple_loop(kind, 70, 2100, 300, 0, 0);
    equals_a_triple_loop(kind, 0, 8, 8, 0, 0);
    equals_a_triple_loop(kind, 8, 8, 0, 0, 1);
    threads_do_not_change_bits(kind, 256, 128, 96);
    threads_do_not_change_bits(kind, 300, 600, 64);
    threads_do_not_change_bits(kind, 64, 32, 2048);
  }
  fp64_sums_are_rounded_once(70, 33, 64);
  fp64_sums_are_rounded_once(300, 260, 24);
  fp64_sums_are_rounded_once(1, 1, 1);
  beta_zero_forgets_what_was_there(10 * test_tolerance);
  an_accumulator_adds_products_and_vectors();
}

/* Returns x in bf16, and rounds x to the same values. */
static rn_bf16 *bf16s_of(rn_real *x, int64_t count) {
  rn_bf16 *bf16s = malloc((size_t)(count + 1) * sizeof *bf16s);
  for (int64_t i = 0; i < count; i++) {
    bf16s[i] = rn_bf16_of(x[i]);
    x[i] = rn_bf16_value(bf16s[i]);
  }
  return bf16s;
}

static void run_in_bf16(const product *p, const rn_bf16 *a, const rn_bf16 *b, rn_array c) {
  const rn_array x = rn_bf16s(a), y = rn_bf16s(b);
  if (p->kind == NT) {
    rn_matmul_nt(rn_rows_together(p->m), p->n, p->k, x, p->lda, y, p->ldb, p->beta, c, p->ldc);
  } else if (p->kind == NN) {
    rn_matmul_nn(rn_rows_together(p->m), p->n, p->k, x, p->lda, y, p->ldb, p->beta, c, p->ldc);
  } else {
    rn_matmul_tn(p->k, p->m, p->n, x, p->lda, y, p->ldb, p->beta, c, p->ldc);
  }
}

/* Operands have 8 bits of precision, but sums must be as accurate as those of fp32. */
static void equals_in_bf16(product_kind kind, int m, int n, int k, int pad, rn_real beta) {
  product p = make(kind, m, n, k, pad, beta), want = make(kind, m, n, k, pad, beta);
  rn_bf16 *a = bf16s_of(p.a, (int64_t)(kind == TN ? k : m) * p.lda);
  rn_bf16 *b = bf16s_of(p.b, (int64_t)(kind == NT ? n : k) * p.ldb);
  free(want.a);
  free(want.b);
  want.a = p.a;
  want.b = p.b;
  run_in_bf16(&p, a, b, rn_reals(p.c));
  triple_loop(&want);
  CHECK_ARRAY("product of bf16", p.c, want.c, p.c_count, 10 * test_tolerance);
  free(a);
  free(b);
  free(want.c);
  destroy(&p);
}

/* Checks that a result in bf16 is the fp32 result, rounded. */
static void result_in_bf16_is_rounded(product_kind kind, int m, int n, int k) {
  product p = make(kind, m, n, k, 2, 0);
  rn_bf16 *a = bf16s_of(p.a, (int64_t)(kind == TN ? k : m) * p.lda);
  rn_bf16 *b = bf16s_of(p.b, (int64_t)(kind == NT ? n : k) * p.ldb);
  rn_bf16 *c = bf16s_of(p.c, p.c_count);
  run_in_bf16(&p, a, b, rn_bf16s(c));
  run_in_bf16(&p, a, b, rn_reals(p.c));
  for (int64_t i = 0; i < p.c_count; i++) {
    const double off = fabs((double)rn_bf16_value(c[i]) - (double)p.c[i]);
    CHECK(off <= fabs((double)p.c[i]) / 256);
  }
  free(a);
  free(b);
  free(c);
  destroy(&p);
}

static void products_in_bf16_are_right(void) {
  for (product_kind kind = NT; kind <= TN; kind++) {
    equals_in_bf16(kind, 131, 70, 40, 1, 1);
    equals_in_bf16(kind, 300, 515, 130, 3, 0);
    equals_in_bf16(kind, 64, 64, 4096, 0, 1);
    equals_in_bf16(kind, 1, 1, 1, 0, 0);
    equals_in_bf16(kind, 9, 8, 7, 0, 1);
    equals_in_bf16(kind, 8, 8, 0, 0, 1);
    equals_in_bf16(kind, 0, 8, 8, 0, 0);
  }
  result_in_bf16_is_rounded(NT, 131, 70, 40);
  result_in_bf16_is_rounded(NN, 300, 515, 130);
}

/* With argument "bf16", only bf16 products are tested; the test is skipped if there are none. */
int main(int argc, char **argv) {
  (void)argv;
  if (argc > 1) {
    rn_threads_start(2);
    test_use_bf16();
    CHECK(rn_gemm_takes_bf16());
    products_in_bf16_are_right();
    return check_result();
  }
  const Retnet__Precision fp32 = RETNET__PRECISION__PRECISION_FP32;
  const char *lack = NULL;
  rn_err err = {0};
  rn_threads_start(2);
  CHECK_OK(&err, rn_gemm_backend_use(&err, RETNET__PRODUCTS__PRODUCTS_OPENBLAS, fp32, &lack));
  CHECK(strcmp(rn_gemm_backend_in_use()->name, "openblas") == 0);
  products_are_right();
  if (rn_gemm_backend_use(&err, RETNET__PRODUCTS__PRODUCTS_ONEDNN, fp32, &lack) == RN_OK) {
    CHECK(strcmp(rn_gemm_backend_in_use()->name, "onednn") == 0);
    products_are_right();
  } else {
    CHECK(strstr(err.text, "model.products") != NULL);
    rn_err_clear(&err);
  }
  CHECK_OK(&err, rn_gemm_backend_use(&err, RETNET__PRODUCTS__PRODUCTS_AUTO, fp32, &lack));
  products_are_right();
  /* A checkpoint stores the name of the backend, and a resumed run selects the backend by this
   * name. */
  const rn_gemm_backend *chosen = rn_gemm_backend_in_use();
  CHECK(rn_gemm_backend_use_named("openblas"));
  CHECK(!rn_gemm_backend_use_named("no such backend"));
  CHECK(strcmp(rn_gemm_backend_in_use()->name, "openblas") == 0);
  CHECK(rn_gemm_backend_use_named(chosen->name));
  CHECK(rn_gemm_backend_in_use() == chosen);
  CHECK_FAILS(&err, RN_ERR_USAGE, "train.precision|model.products",
              rn_gemm_backend_use(&err, RETNET__PRODUCTS__PRODUCTS_OPENBLAS,
                                  RETNET__PRECISION__PRECISION_BF16, &lack));
  CHECK_OK(&err, rn_gemm_backend_use(&err, RETNET__PRODUCTS__PRODUCTS_AUTO,
                                     RETNET__PRECISION__PRECISION_BF16, &lack));
  CHECK((lack == NULL) == (strcmp(rn_gemm_backend_in_use()->name, "onednn bf16") == 0));
  CHECK((lack == NULL) == rn_gemm_takes_bf16());
  return check_result();
}
