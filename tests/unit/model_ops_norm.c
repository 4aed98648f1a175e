/* Checks that norms match their formula, that their gradients match finite differences, and that
 * the number of threads does not change the results, bit for bit. */
#include "model/ops/norm.h"

#include <omp.h>
#include <string.h>

#include "model/pass/row_slices.h"
#include "tests/support/gradient.h"

/* ROWS is such that rows are processed in several parts, the last one shorter. */
enum { ROWS = 75, WIDTH = 70 };

typedef struct fixture {
  rn_norm norm;
  rn_real params[2 * WIDTH], gradient[2 * WIDTH];
  rn_real x[ROWS * WIDTH], y[ROWS * WIDTH], dy[ROWS * WIDTH], dx[ROWS * WIDTH], stat[2 * ROWS];
  double sums[RN_ROW_SLICES * 2 * WIDTH];
  rn_grad_accumulator accumulator;
} fixture;

static void prepare(fixture *f, rn_block_norm kind) {
  memset(f, 0, sizeof *f);
  f->norm = (rn_norm){kind, WIDTH, 0.01, 0, kind == RN_BLOCK_NORM_LAYER ? WIDTH : -1, f->sums};
  f->accumulator = (rn_grad_accumulator){.gradient = f->gradient, .total = 2 * WIDTH};
  test_fill(f->params, 2 * WIDTH, 1, 1);
  test_fill(f->x, ROWS * WIDTH, 1, 2);
  test_fill(f->dy, ROWS * WIDTH, 1, 3);
}

static double loss(void *context) {
  fixture *f = context;
  rn_norm_forward(&f->norm, f->params, ROWS, f->x, rn_reals(f->y), f->stat);
  return test_dot(f->y, f->dy, ROWS * WIDTH);
}

static void forward_is_the_formula(rn_block_norm kind) {
  fixture f;
  prepare(&f, kind);
  rn_real want[ROWS * WIDTH];
  for (int r = 0; r < ROWS; r++) {
    const rn_real *x = f.x + r * WIDTH;
    double mean = 0, square = 0;
    for (int i = 0; i < WIDTH; i++) mean += (double)x[i] / WIDTH;
    if (kind == RN_BLOCK_NORM_RMS) mean = 0;
    for (int i = 0; i < WIDTH; i++) square += (x[i] - mean) * (x[i] - mean) / WIDTH;
    for (int i = 0; i < WIDTH; i++) {
      double bias = kind == RN_BLOCK_NORM_LAYER ? (double)f.params[WIDTH + i] : 0;
      want[r * WIDTH + i] =
          (rn_real)((double)f.params[i] * (x[i] - mean) / sqrt(square + 0.01) + bias);
    }
  }
  rn_norm_forward(&f.norm, f.params, ROWS, f.x, rn_reals(f.y), f.stat);
  CHECK_ARRAY("y", f.y, want, ROWS * WIDTH, test_tolerance);
  rn_norm_forward(&f.norm, f.params, ROWS, f.x, rn_reals(f.x), f.stat);
  CHECK(memcmp(f.x, f.y, sizeof f.x) == 0);
}

static void a_row_in_fp64_is_the_formula(rn_block_norm kind) {
  fixture f;
  prepare(&f, kind);
  double wide[WIDTH], mean = 0, square = 0, want[WIDTH];
  for (int i = 0; i < WIDTH && kind == RN_BLOCK_NORM_LAYER; i++) mean += (double)f.x[i] / WIDTH;
  for (int i = 0; i < WIDTH; i++) square += (f.x[i] - mean) * (f.x[i] - mean) / WIDTH;
  for (int i = 0; i < WIDTH; i++) {
    double bias = kind == RN_BLOCK_NORM_LAYER ? (double)f.params[WIDTH + i] : 0;
    want[i] = (double)f.params[i] * (f.x[i] - mean) / sqrt(square + 0.01) + bias;
  }
  rn_norm_row_fp64(&f.norm, f.params, f.x, wide);
  CHECK_ARRAY("row in fp64", wide, want, WIDTH, 1e-14);
}

static void backward_is_the_slope(rn_block_norm kind) {
  fixture f;
  prepare(&f, kind);
  loss(&f);
  rn_norm_backward(&f.norm, f.params, rn_rows_together(ROWS),
                   &(rn_norm_grads){.x = f.x, .stat = f.stat, .dy = f.dy, .dx = f.dx},
                   &f.accumulator);
  test_gradient("x", loss, &f, f.x, ROWS * WIDTH, f.dx);
  int weights = kind == RN_BLOCK_NORM_LAYER ? 2 * WIDTH : WIDTH;
  test_gradient("weight and bias", loss, &f, f.params, weights, f.gradient);
}

static void gradients_add_up_in_place(void) {
  fixture f;
  prepare(&f, RN_BLOCK_NORM_RMS);
  loss(&f);
  rn_norm_backward(&f.norm, f.params, rn_rows_together(ROWS),
                   &(rn_norm_grads){.x = f.x, .stat = f.stat, .dy = f.dy, .dx = f.dx},
                   &f.accumulator);
  rn_real once[WIDTH], both[ROWS * WIDTH];
  memcpy(once, f.gradient, sizeof once);
  for (int i = 0; i < ROWS * WIDTH; i++) both[i] = f.x[i] + f.dx[i];
  rn_real *in_place = f.dy;
  rn_norm_backward(
      &f.norm, f.params, rn_rows_together(ROWS),
      &(rn_norm_grads){.x = f.x, .stat = f.stat, .dy = f.dy, .add = f.x, .dx = in_place},
      &f.accumulator);
  CHECK_ARRAY("add + gradient", in_place, both, ROWS * WIDTH, 0);
  for (int i = 0; i < WIDTH; i++) once[i] *= 2;
  CHECK_ARRAY("summed weights", f.gradient, once, WIDTH, 0);
}

static void backward_recomputes_forward(rn_block_norm kind) {
  fixture f;
  prepare(&f, kind);
  rn_real dx[ROWS * WIDTH], again[ROWS * WIDTH];
  loss(&f);
  rn_norm_backward(&f.norm, f.params, rn_rows_together(ROWS),
                   &(rn_norm_grads){.x = f.x, .stat = f.stat, .dy = f.dy, .add = f.y, .dx = dx},
                   &f.accumulator);
  rn_norm_backward(
      &f.norm, f.params, rn_rows_together(ROWS),
      &(rn_norm_grads){
          .x = f.x, .stat = f.stat, .dy = f.dy, .add = f.y, .dx = f.dx, .y = rn_reals(again)},
      &f.accumulator);
  CHECK(memcmp(again, f.y, sizeof again) == 0);
  CHECK(memcmp(dx, f.dx, sizeof dx) == 0);
}

static void threads_do_not_change_bits(void) {
  fixture one, many;
  prepare(&one, RN_BLOCK_NORM_LAYER);
  prepare(&many, RN_BLOCK_NORM_LAYER);
  fixture *both[] = {&one, &many};
  for (int i = 0; i < 2; i++) {
    fixture *f = both[i];
    omp_set_num_threads(1 + 2 * i);
    loss(f);
    rn_norm_backward(&f->norm, f->params, rn_rows_together(ROWS),
                     &(rn_norm_grads){.x = f->x, .stat = f->stat, .dy = f->dy, .dx = f->dx},
                     &f->accumulator);
  }
  CHECK(memcmp(one.y, many.y, sizeof one.y) == 0);
  CHECK(memcmp(one.dx, many.dx, sizeof one.dx) == 0);
  CHECK(memcmp(one.gradient, many.gradient, sizeof one.gradient) == 0);
}

/* Uses more reduction blocks than are processed at a time. The results must be bitwise identical
 * however the rows are divided among calls. */
static void reduction_blocks_are_accumulated_one_by_one(void) {
  fixture f;
  prepare(&f, RN_BLOCK_NORM_LAYER);
  int64_t exact[2 * WIDTH] = {0};
  rn_grad_accumulator accumulator = {.exact = exact, .total = 2 * WIDTH, .reduction_blocks = ROWS};
  rn_real dx[ROWS * WIDTH], got[2 * WIDTH];
  loss(&f);
  rn_norm_backward(&f.norm, f.params, rn_rows_together(ROWS),
                   &(rn_norm_grads){.x = f.x, .stat = f.stat, .dy = f.dy, .dx = f.dx},
                   &f.accumulator);
  rn_norm_backward(&f.norm, f.params, (rn_rows){ROWS, ROWS, 1},
                   &(rn_norm_grads){.x = f.x, .stat = f.stat, .dy = f.dy, .dx = dx}, &accumulator);
  for (int i = 0; i < 2 * WIDTH; i++) got[i] = (rn_real)rn_grad_accumulator_value(exact[i]);
  CHECK(!accumulator.overflowed);
  int64_t of_two[2 * WIDTH] = {0};
  rn_grad_accumulator apart = {.exact = of_two, .total = 2 * WIDTH, .reduction_blocks = ROWS};
  const int first = 40, left = ROWS - first, at = first * WIDTH;
  rn_norm_backward(&f.norm, f.params, (rn_rows){first, first, 1},
                   &(rn_norm_grads){.x = f.x, .stat = f.stat, .dy = f.dy, .dx = dx}, &apart);
  rn_norm_backward(
      &f.norm, f.params, (rn_rows){left, left, 1},
      &(rn_norm_grads){.x = f.x + at, .stat = f.stat + 2 * first, .dy = f.dy + at, .dx = dx + at},
      &apart);
  CHECK(memcmp(exact, of_two, sizeof exact) == 0);
  CHECK_ARRAY("sums of reduction blocks", got, f.gradient, 2 * WIDTH, 1e-5);
  CHECK(memcmp(dx, f.dx, sizeof dx) == 0);
}

int main(void) {
  for (rn_block_norm kind = RN_BLOCK_NORM_RMS; kind <= RN_BLOCK_NORM_LAYER; kind++) {
    forward_is_the_formula(kind);
    a_row_in_fp64_is_the_formula(kind);
    backward_is_the_slope(kind);
    backward_recomputes_forward(kind);
  }
  gradients_add_up_in_place();
  threads_do_not_change_bits();
  reduction_blocks_are_accumulated_one_by_one();
  return check_result();
}
