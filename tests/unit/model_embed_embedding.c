/* Checks embedding rows with scale, norm and dropout. The gradient of a table row is the sum
 * over its uses. */
#include "model/embed/embed.h"

#include <omp.h>
#include <string.h>

#include "model/pass/row_slices.h"
#include "tests/support/gradient.h"

enum { SEQUENCES = 2, TOKENS = 9, ROWS = SEQUENCES * TOKENS, DIM = 36, VOCAB = 11 };
enum { PARAMS = VOCAB * DIM + 2 * DIM };

typedef struct fixture {
  rn_embed embed;
  rn_unit unit;
  rn_pass pass;
  int32_t input[ROWS];
  int64_t numbers[SEQUENCES];
  rn_real params[PARAMS], gradient[PARAMS];
  rn_real y[ROWS * DIM], dy[ROWS * DIM], work[ROWS * DIM], stat[2 * ROWS];
  double sums[RN_ROW_SLICES * 2 * DIM];
  rn_grad_accumulator accumulator;
} fixture;

static void prepare(fixture *f, bool norm, bool train) {
  memset(f, 0, sizeof *f);
  rn_spec spec = {.dim = DIM,
                  .vocab = VOCAB,
                  .scale_embedding = true,
                  .embedding_norm = norm,
                  .block_norm = RN_BLOCK_NORM_LAYER,
                  .norm_eps = 0.01,
                  .dropout = 0.25};
  rn_param_table table = {
      .embedding = 0, .embedding_norm = VOCAB * DIM, .embedding_norm_bias = VOCAB * DIM + DIM};
  f->embed = rn_embed_make(&spec, &table, 3);
  f->embed.norm.sums = f->sums;
  for (int r = 0; r < ROWS; r++) f->input[r] = r * 4 % VOCAB; /* uses each token */
  f->numbers[1] = 1;
  f->unit = (rn_unit){
      .sequences = SEQUENCES, .tokens = TOKENS, .input = f->input, .sequence_index = f->numbers};
  f->accumulator = (rn_grad_accumulator){.gradient = f->gradient, .total = PARAMS};
  f->pass = (rn_pass){
      .params = f->params, .unit = &f->unit, .train = train, .accumulator = &f->accumulator};
  test_fill(f->params, PARAMS, 0.5, 1);
  test_fill(f->dy, ROWS * DIM, 1, 2);
}

static double loss(void *context) {
  fixture *f = context;
  rn_embed_forward(&f->embed, &f->pass, f->stat, f->y);
  return test_dot(f->y, f->dy, ROWS * DIM);
}

static void backward(fixture *f) {
  rn_real dy[ROWS * DIM];
  memcpy(dy, f->dy, sizeof dy);
  loss(f);
  rn_embed_backward(&f->embed, &f->pass, f->stat, f->work, dy);
}

static void rows_are_scaled(void) {
  fixture f;
  prepare(&f, false, false);
  loss(&f);
  for (int r = 0; r < ROWS; r++) {
    for (int i = 0; i < DIM; i++) {
      CHECK(f.y[r * DIM + i] == 6 * f.params[f.input[r] * DIM + i]);
    }
  }
}

static void backward_is_the_slope(bool norm, bool train) {
  fixture f;
  prepare(&f, norm, train);
  backward(&f);
  test_gradient("embedding and norm", loss, &f, f.params, norm ? PARAMS : VOCAB * DIM, f.gradient);
}

static void threads_do_not_change_bits(void) {
  fixture one, many;
  fixture *both[] = {&one, &many};
  for (int i = 0; i < 2; i++) {
    omp_set_num_threads(1 + 2 * i);
    prepare(both[i], true, true);
    backward(both[i]);
  }
  CHECK(memcmp(one.y, many.y, sizeof one.y) == 0);
  CHECK(memcmp(one.gradient, many.gradient, sizeof one.gradient) == 0);
}

int main(void) {
  rows_are_scaled();
  backward_is_the_slope(false, false);
  backward_is_the_slope(true, false);
  backward_is_the_slope(true, true);
  threads_do_not_change_bits();
  return check_result();
}
