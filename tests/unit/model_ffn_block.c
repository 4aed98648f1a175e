/* Checks that the feed-forward block matches its formula, and that its gradients match finite
 * differences. */
#include "model/ffn/block_ffn.h"

#include <omp.h>
#include <string.h>

#include "model/kernel/exp.h"
#include "model/kernel/kernels.h"
#include "tests/support/gradient.h"

enum { ROWS = 6, DIM = 10, FFN = 14, WEIGHTS = 3 * DIM * FFN };

typedef struct fixture {
  rn_ffn_block block;
  rn_real params[WEIGHTS], gradient[WEIGHTS];
  rn_real x[ROWS * DIM], y[ROWS * DIM], dy[ROWS * DIM], dx[ROWS * DIM];
  rn_real inner[ROWS * 2 * FFN], product[ROWS * FFN];
  rn_ffn_activations activations;
  rn_grad_accumulator accumulator;
} fixture;

static void prepare(fixture *f, rn_ffn kind, rn_activation activation) {
  memset(f, 0, sizeof *f);
  rn_spec spec = {.ffn = kind, .activation = activation, .dim = DIM, .ffn_dim = FFN};
  int inner = kind == RN_FFN_GLU ? 2 * FFN : FFN;
  rn_layer_params layer = {.fc1 = 0, .gate = DIM * FFN, .fc2 = (int64_t)DIM * inner};
  f->block = rn_ffn_block_make(&spec, &layer, false);
  f->activations =
      (rn_ffn_activations){.inner = rn_reals(f->inner), .product = rn_reals(f->product)};
  f->accumulator = (rn_grad_accumulator){.gradient = f->gradient, .total = WEIGHTS};
  test_fill(f->params, WEIGHTS, 0.5, 1);
  test_fill(f->x, ROWS * DIM, 1, 2);
  test_fill(f->dy, ROWS * DIM, 1, 3);
}

static double loss(void *context) {
  fixture *f = context;
  rn_ffn_forward(&f->block, f->params, rn_rows_together(ROWS), rn_reals(f->x), &f->activations,
                 f->y);
  return test_dot(f->y, f->dy, ROWS * DIM);
}

static void backward(fixture *f) {
  loss(f);
  rn_ffn_backward_input(&f->block, f->params, rn_rows_together(ROWS), rn_reals(f->dy),
                        &f->activations, f->dx);
  rn_weight_product products[2];
  rn_ffn_weight_products(&f->block, rn_reals(f->x), rn_reals(f->dy), &f->activations, products);
  rn_grad_accumulator_products(&f->accumulator, NULL, rn_rows_together(ROWS), products, 2);
}

static double activate(rn_activation activation, double x) {
  return activation == RN_ACTIVATION_SWISH ? x / (1 + exp(-x)) : 0.5 * x * (1 + erf(x / sqrt(2)));
}

static void forward_is_the_formula(rn_ffn kind, rn_activation activation) {
  fixture f;
  prepare(&f, kind, activation);
  loss(&f);
  rn_real want[ROWS * DIM] = {0};
  const rn_real *fc1 = f.params, *gate = fc1 + DIM * FFN, *fc2 = f.params + f.block.fc2;
  for (int r = 0; r < ROWS; r++) {
    for (int u = 0; u < FFN; u++) {
      double hidden = activate(activation, test_dot(fc1 + u * DIM, f.x + r * DIM, DIM));
      if (kind == RN_FFN_GLU) hidden *= test_dot(gate + u * DIM, f.x + r * DIM, DIM);
      for (int i = 0; i < DIM; i++)
        want[r * DIM + i] += (rn_real)(hidden * (double)fc2[i * FFN + u]);
    }
  }
  CHECK_ARRAY("y", f.y, want, ROWS * DIM, test_tolerance);
}

static void backward_is_the_slope(rn_ffn kind, rn_activation activation) {
  fixture f;
  prepare(&f, kind, activation);
  backward(&f);
  test_gradient("x", loss, &f, f.x, ROWS * DIM, f.dx);
  test_gradient("weights", loss, &f, f.params, f.block.fc2 + DIM * FFN, f.gradient);
}

static void threads_do_not_change_bits(void) {
  fixture one, many;
  fixture *both[] = {&one, &many};
  for (int i = 0; i < 2; i++) {
    omp_set_num_threads(1 + 2 * i);
    prepare(both[i], RN_FFN_GLU, RN_ACTIVATION_SWISH);
    backward(both[i]);
  }
  CHECK(memcmp(one.y, many.y, sizeof one.y) == 0);
  CHECK(memcmp(one.dx, many.dx, sizeof one.dx) == 0);
  CHECK(memcmp(one.gradient, many.gradient, sizeof one.gradient) == 0);
}

static void exp_is_exact_to_two_units(void) {
  double worst = 0;
  for (double x = -86.9; x < 88; x += 0.00137) {
    rn_real at = (rn_real)x;
    double want = exp((double)at);
    double off = fabs((double)rn_exp(at) - want) / want;
    if (off > worst) worst = off;
  }
  CHECK(worst <= 2 * (sizeof(rn_real) == 4 ? 0x1p-23 : 0x1p-52));
  CHECK(rn_exp(0) == 1);
  CHECK(isnan((double)rn_exp((rn_real)NAN)));
  CHECK(rn_exp(-INFINITY) <= (rn_real)2e-38 && rn_exp(INFINITY) > (rn_real)1e38);
}

static void activations_survive_extremes(void) {
  rn_real x[4] = {-3000, 3000, -30, 0}, value[4], slope[4];
  for (rn_activation a = RN_ACTIVATION_SWISH; a <= RN_ACTIVATION_GELU; a++) {
    rn_kernels_table()->activate(a, 4, x, value, slope);
    CHECK_NEAR(value[0], 0, 1e-30);
    CHECK_NEAR(value[1], 3000, 1e-7);
    CHECK(fabs((double)value[2]) < 1e-10);
    CHECK_NEAR(slope[0], 0, 1e-30);
    CHECK_NEAR(slope[1], 1, 0);
    CHECK_NEAR(slope[3], 0.5, 0);
    x[0] = (rn_real)NAN;
    rn_kernels_table()->activate(a, 1, x, value, NULL);
    CHECK(isnan((double)value[0]));
    x[0] = -3000;
  }
}

/* Checks that the result of an element does not depend on its offset in the row. */
static void vectors_and_tails_have_the_same_bits(void) {
  enum { N = 37 };
  rn_real x[N], value[N], slope[N], one_value, one_slope;
  test_fill(x, N, 4, 8);
  rn_kernels_table()->activate(RN_ACTIVATION_SWISH, N, x, value, slope);
  for (int i = 0; i < N; i++) {
    rn_kernels_table()->activate(RN_ACTIVATION_SWISH, 1, x + i, &one_value, &one_slope);
    CHECK(value[i] == one_value && slope[i] == one_slope);
  }
}

int main(void) {
  for (rn_ffn kind = RN_FFN_GLU; kind <= RN_FFN_MLP; kind++) {
    for (rn_activation a = RN_ACTIVATION_SWISH; a <= RN_ACTIVATION_GELU; a++) {
      forward_is_the_formula(kind, a);
      backward_is_the_slope(kind, a);
    }
  }
  threads_do_not_change_bits();
  exp_is_exact_to_two_units();
  activations_survive_extremes();
  vectors_and_tails_have_the_same_bits();
  return check_result();
}
