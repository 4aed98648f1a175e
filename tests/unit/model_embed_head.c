/* Checks that head and loss, computed in blocks of rows, equal those of single rows, and that
 * gradients match finite differences. Large logits must give finite results, and sums over a
 * large vocabulary must be right for any width and number of rows. */
#include "model/embed/head.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/memory/workspace.h"
#include "model/pass/row_slices.h"
#include "tests/support/gradient.h"

enum { ROWS = 6, DIM = 8, VOCAB = 11, PARAMS = VOCAB * DIM + 2 * DIM, MAX_DIM = 256 };

typedef struct fixture {
  rn_head head;
  rn_buffer_plan plan;
  rn_workspace workspace;
  rn_head_work work;
  int64_t rows, params_count;
  double scale;
  int32_t *target;
  rn_real *params, *gradient, *y, *dy, *token_loss;
  double sums[RN_ROW_SLICES * 2 * MAX_DIM];
  rn_grad_accumulator accumulator;
} fixture;

static void *take(int64_t count, size_t bytes_each) {
  return calloc((size_t)count, bytes_each);
}

static void prepare_shape(fixture *f, int64_t rows, rn_spec spec) {
  rn_err err = {0};
  const int64_t matrix = (int64_t)spec.vocab * spec.dim, elements = rows * spec.dim;
  *f = (fixture){.rows = rows, .params_count = matrix + 2 * spec.dim, .scale = 0.125};
  const bool has_bias = spec.block_norm == RN_BLOCK_NORM_LAYER;
  rn_param_table table = {
      .output = 0, .final_norm = matrix, .final_norm_bias = has_bias ? matrix + spec.dim : -1};
  f->head = rn_head_make(&spec, &table);
  f->head.norm.sums = f->sums;
  f->plan = rn_buffer_plan_make(RN_SAVE_NOTHING);
  rn_buffer_space space = {.plan = &f->plan};
  (void)rn_head_buffers(&f->head, rows, &space);
  rn_buffer_plan_place(&f->plan);
  CHECK_OK(&err, rn_workspace_create(&err, &f->plan, &f->workspace));
  space.base[RN_MEMORY_WORKSPACE] = f->workspace.arena.base;
  f->work = rn_head_buffers(&f->head, rows, &space);
  f->target = take(rows, sizeof f->target[0]);
  f->params = take(f->params_count, sizeof(rn_real));
  f->gradient = take(f->params_count, sizeof(rn_real));
  f->y = take(elements, sizeof(rn_real));
  f->dy = take(elements, sizeof(rn_real));
  f->token_loss = take(rows, sizeof(rn_real));
  f->accumulator = (rn_grad_accumulator){.gradient = f->gradient, .total = f->params_count};
  for (int64_t r = 0; r < rows; r++) f->target[r] = (int32_t)((r * r + 3) % spec.vocab);
  test_fill(f->params, f->params_count, 1, 1);
  test_fill(f->y, elements, 1, 2);
}

static void prepare(fixture *f, int64_t rows, bool pre_norm, rn_block_norm kind) {
  prepare_shape(
      f, rows,
      (rn_spec){
          .dim = DIM, .vocab = VOCAB, .pre_norm = pre_norm, .block_norm = kind, .norm_eps = 0.01});
}

static void destroy(fixture *f) {
  rn_workspace_destroy(&f->workspace);
  free(f->target);
  free(f->params);
  free(f->gradient);
  free(f->y);
  free(f->dy);
  free(f->token_loss);
}

static double sum_of(fixture *f, rn_real *token_loss, rn_real *dy) {
  rn_loss loss = {.rows = f->rows,
                  .y = f->y,
                  .target = f->target,
                  .scale = f->scale,
                  .token_loss = token_loss,
                  .dy = dy};
  rn_head_loss(&f->head, f->params, &f->work, &loss, &f->accumulator);
  return loss.sum;
}

static double loss(void *context) {
  fixture *f = context;
  return f->scale * sum_of(f, f->token_loss, NULL);
}

static double loss_with_gradient(fixture *f) {
  return f->scale * sum_of(f, f->token_loss, f->dy);
}

static void backward_is_the_slope(bool pre_norm, rn_block_norm kind) {
  fixture f;
  prepare(&f, ROWS, pre_norm, kind);
  double with = loss_with_gradient(&f);
  CHECK(with == loss(&f));
  test_gradient("y", loss, &f, f.y, ROWS * DIM, f.dy);
  int params = !pre_norm ? VOCAB * DIM : kind == RN_BLOCK_NORM_RMS ? VOCAB * DIM + DIM : PARAMS;
  test_gradient("projection and norm", loss, &f, f.params, params, f.gradient);
  CHECK(f.scale * sum_of(&f, NULL, f.y) == with);
  CHECK_ARRAY("gradient in place of y", f.y, f.dy, ROWS * DIM, 0);
  destroy(&f);
}

/* Compares loss and logits of many blocks with those of single rows; the loss is the sum over
 * rows. */
static void blocks_equal_rows_alone(void) {
  fixture f;
  prepare(&f, 2500, true, RN_BLOCK_NORM_RMS);
  CHECK(f.head.block < f.rows);
  double whole = loss_with_gradient(&f), sum = 0;
  rn_real *logits = take(f.rows * VOCAB, sizeof(rn_real));
  rn_head_logits(&f.head, f.params, f.rows, f.y, &f.work, logits);
  for (int64_t r = 0; r < f.rows; r++) {
    double exponentials = 0;
    for (int i = 0; i < VOCAB; i++) exponentials += exp((double)logits[r * VOCAB + i]);
    double want = log(exponentials) - (double)logits[r * VOCAB + f.target[r]];
    CHECK_RELATIVE((double)f.token_loss[r], want, 4 * test_tolerance);
    sum += want;
  }
  CHECK_NEAR(whole / (f.scale * sum), 1, test_tolerance);
  fixture tail;
  prepare(&tail, 1, true, RN_BLOCK_NORM_RMS);
  memcpy(tail.y, f.y + 2499 * DIM, DIM * sizeof(rn_real));
  tail.target[0] = f.target[2499];
  loss_with_gradient(&tail);
  CHECK_ARRAY("dy of the last row", f.dy + 2499 * DIM, tail.dy, DIM, 10 * test_tolerance);
  free(logits);
  destroy(&tail);
  destroy(&f);
}

/* Computes the gradient of y of row r: the sum over the vocabulary of (softmax - one-hot) * w. */
static void gradient_of_row(fixture *f, int64_t r, rn_real *logits, rn_real *out) {
  const int dim = f->head.dim, vocab = f->head.vocab;
  double sum[MAX_DIM] = {0}, exponentials = 0;
  rn_head_logits(&f->head, f->params, 1, f->y + r * dim, &f->work, logits);
  for (int v = 0; v < vocab; v++) exponentials += exp((double)logits[v]);
  for (int v = 0; v < vocab; v++) {
    const double slope = exp((double)logits[v]) / exponentials - (v == f->target[r]);
    for (int i = 0; i < dim; i++) sum[i] += slope * (double)f->params[(int64_t)v * dim + i];
  }
  for (int i = 0; i < dim; i++) out[i] = (rn_real)(f->scale * sum[i]);
}

/* Sums over a large vocabulary are computed in pieces; in a narrow model, one tile contains several
 * pieces. */
static void gradients_with_a_large_vocabulary(int dim) {
  enum { MANY = 4500 };
  static const int64_t rows[] = {1, 70, 300};
  static rn_real logits[MANY], want[MAX_DIM];
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    fixture f;
    prepare_shape(&f, rows[i], (rn_spec){.dim = dim, .vocab = MANY});
    CHECK(f.head.pieces > 1);
    loss_with_gradient(&f);
    for (int64_t r = 0; r < rows[i]; r += 23) {
      gradient_of_row(&f, r, logits, want);
      CHECK_ARRAY("dy", f.dy + r * dim, want, dim, 10 * test_tolerance);
    }
    destroy(&f);
  }
}

static void extremes_are_finite_and_nan_is_seen(void) {
  fixture f;
  prepare(&f, ROWS, false, RN_BLOCK_NORM_RMS);
  for (int i = 0; i < ROWS * DIM; i++) f.y[i] *= 3000;
  CHECK(isfinite(loss_with_gradient(&f)));
  for (int i = 0; i < ROWS * DIM; i++) CHECK(isfinite((double)f.dy[i]));
  f.y[3] = (rn_real)NAN;
  CHECK(isnan(loss(&f)));
  f.y[3] = INFINITY;
  CHECK(!isfinite(loss(&f)));
  destroy(&f);
}

static void threads_do_not_change_bits(void) {
  fixture f[2];
  double sums[2];
  for (int i = 0; i < 2; i++) {
    omp_set_num_threads(1 + 2 * i);
    prepare(&f[i], 1300, true, RN_BLOCK_NORM_LAYER);
    sums[i] = loss_with_gradient(&f[i]);
  }
  CHECK(sums[0] == sums[1]);
  CHECK(memcmp(f[0].dy, f[1].dy, 1300 * DIM * sizeof(rn_real)) == 0);
  CHECK(memcmp(f[0].gradient, f[1].gradient, PARAMS * sizeof(rn_real)) == 0);
  destroy(&f[0]);
  destroy(&f[1]);
}

int main(void) {
  backward_is_the_slope(true, RN_BLOCK_NORM_RMS);
  backward_is_the_slope(true, RN_BLOCK_NORM_LAYER);
  backward_is_the_slope(false, RN_BLOCK_NORM_RMS);
  blocks_equal_rows_alone();
  static const int dims[] = {8, 64, 96, 128, 200};
  for (int i = 0; i < 5; i++) gradients_with_a_large_vocabulary(dims[i]);
  extremes_are_finite_and_nan_is_seen();
  threads_do_not_change_bits();
  return check_result();
}
