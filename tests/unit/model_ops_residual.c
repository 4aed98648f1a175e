/* Checks that the combined pass over the rows after a block gives the bits of dropout, residual
 * connection and norm computed one after another, for any number of threads, and also in place. */
#include "model/ops/residual.h"

#include <omp.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/gradient.h"

enum { SEQUENCES = 2, TOKENS = 21, ROWS = SEQUENCES * TOKENS, WIDTH = 37 };

static const rn_dropout dropout = {0.25, 3, 1, RN_DROPOUT_FFN};
static const rn_norm norm = {RN_BLOCK_NORM_LAYER, WIDTH, 0.01, 0, WIDTH, NULL};
static int64_t numbers[SEQUENCES] = {5, 9};
static const rn_unit unit = {.sequences = SEQUENCES,
                             .tokens = TOKENS,
                             .step = 4,
                             .position = 100,
                             .sequence_index = numbers};

typedef struct rows {
  rn_real params[2 * WIDTH], x[ROWS * WIDTH], branch[ROWS * WIDTH];
  rn_real sum[ROWS * WIDTH], y[ROWS * WIDTH], stat[2 * ROWS];
} rows;

static void fill(rows *r) {
  memset(r, 0, sizeof *r);
  test_fill(r->params, 2 * WIDTH, 1, 1);
  test_fill(r->x, ROWS * WIDTH, 1, 2);
  test_fill(r->branch, ROWS * WIDTH, 1, 3);
}

static void one_after_another(rows *r, bool drops) {
  fill(r);
  if (drops) rn_dropout_rows(dropout, &unit, WIDTH, r->branch);
  for (int i = 0; i < ROWS * WIDTH; i++) r->sum[i] = (rn_real)1.5 * r->x[i] + r->branch[i];
  rn_norm_forward(&norm, r->params, ROWS, r->sum, rn_reals(r->y), r->stat);
}

/* With `aliased` the sum replaces x, and y replaces the branch. */
static void in_one_pass(rows *r, bool drops, bool normed, bool aliased) {
  fill(r);
  const rn_residual residual = {.dropout = drops ? &dropout : NULL,
                                .factor = (rn_real)1.5,
                                .x = r->x,
                                .branch = r->branch,
                                .sum = aliased ? r->x : r->sum,
                                .norm = normed ? &norm : NULL,
                                .y = rn_reals(aliased ? r->branch : r->y),
                                .stat = r->stat};
  rn_residual_forward(&residual, r->params, &unit, WIDTH);
}

static void one_pass_changes_no_bit(int threads, bool drops) {
  static rows want, got;
  omp_set_num_threads(threads);
  one_after_another(&want, drops);
  in_one_pass(&got, drops, true, false);
  CHECK(memcmp(&got, &want, sizeof got) == 0);
  in_one_pass(&got, drops, true, true);
  CHECK(memcmp(got.x, want.sum, sizeof got.x) == 0);
  CHECK(memcmp(got.branch, want.y, sizeof got.y) == 0);
  CHECK(memcmp(got.stat, want.stat, sizeof got.stat) == 0);
  in_one_pass(&got, drops, false, false);
  CHECK(memcmp(got.sum, want.sum, sizeof got.sum) == 0);
  for (int i = 0; i < ROWS * WIDTH; i++) CHECK(got.y[i] == 0);
}

int main(void) {
  static const int threads[] = {1, 2, 3, 5, 8};
  for (int i = 0; i < 5; i++) {
    one_pass_changes_no_bit(threads[i], false);
    one_pass_changes_no_bit(threads[i], true);
  }
  return check_result();
}
