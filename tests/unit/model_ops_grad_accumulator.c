/*
 * Checks that exact sums do not depend on the order of reduction blocks: added together, one by
 * one, or in reverse order, they give the same integers, which are close to the plain sum. Values
 * that are too large or not finite must be detected.
 */
#include <math.h>
#include <string.h>

#include "model/ops/grad_accumulator.h"
#include "proto/base/random.h"
#include "tests/support/check.h"

/* Each sequence of TOKENS rows has EACH reduction blocks of REDUCTION_BLOCK rows, the last one
 * shorter; weights are [N, K]. */
enum {
  SEQUENCES = 3,
  TOKENS = 42,
  REDUCTION_BLOCK = 16,
  EACH = 3,
  ROWS = SEQUENCES * TOKENS,
  N = 70,
  K = 9
};

static const rn_weight weight = {0, N, K};
static rn_real dy[ROWS * N], x[ROWS * K];

static void fill(rn_real *values, int64_t count, uint64_t word) {
  const rn_random_key key = rn_random_key_make(RN_RANDOM_TEST, &word, 1);
  for (int64_t i = 0; i < count; i++) values[i] = (rn_real)rn_random_normal(key, (uint64_t)i);
}

static rn_grad_accumulator start(int64_t *exact) {
  rn_grad_accumulator accumulator = {
      .exact = exact, .total = (int64_t)N * K, .reduction_blocks = SEQUENCES * EACH};
  rn_grad_accumulator_start(&accumulator);
  return accumulator;
}

/* Adds reduction block `index` only. */
static void add_reduction_block(rn_grad_accumulator *accumulator, int index) {
  const int first = index / EACH * TOKENS + index % EACH * REDUCTION_BLOCK;
  const int rows =
      index % EACH < EACH - 1 ? REDUCTION_BLOCK : TOKENS - (EACH - 1) * REDUCTION_BLOCK;
  rn_grad_accumulator_product(accumulator, weight, (rn_rows){rows, rows, REDUCTION_BLOCK},
                              rn_matrix_of_reals(dy + first * N, N),
                              rn_matrix_of_reals(x + first * K, K));
}

static void order_and_grouping_do_not_matter(void) {
  static int64_t together[N * K], forward[N * K], backward[N * K];
  static rn_real plain[N * K];
  rn_grad_accumulator accumulator = start(together);
  rn_grad_accumulator_product(&accumulator, weight, (rn_rows){ROWS, TOKENS, REDUCTION_BLOCK},
                              rn_matrix_of_reals(dy, N), rn_matrix_of_reals(x, K));
  CHECK(!accumulator.overflowed);
  accumulator = start(forward);
  for (int i = 0; i < SEQUENCES * EACH; i++) add_reduction_block(&accumulator, i);
  accumulator = start(backward);
  for (int i = SEQUENCES * EACH - 1; i >= 0; i--) add_reduction_block(&accumulator, i);
  CHECK(memcmp(together, forward, sizeof forward) == 0);
  CHECK(memcmp(together, backward, sizeof backward) == 0);
  accumulator = (rn_grad_accumulator){.gradient = plain, .total = (int64_t)N * K};
  rn_grad_accumulator_start(&accumulator);
  rn_grad_accumulator_product(&accumulator, weight, rn_rows_together(ROWS),
                              rn_matrix_of_reals(dy, N), rn_matrix_of_reals(x, K));
  for (int i = 0; i < N * K; i++)
    CHECK_NEAR((double)rn_grad_accumulator_value(together[i]), (double)plain[i], 1e-5);
}

static void what_cannot_be_summed_is_noticed(void) {
  static int64_t exact[N * K];
  const double limit = 2048.0 / (SEQUENCES * EACH);
  const rn_real bad[] = {(rn_real)NAN, (rn_real)INFINITY, (rn_real)(1.01 * limit),
                         (rn_real)(-1.01 * limit)};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    rn_grad_accumulator accumulator = start(exact);
    const rn_real good = (rn_real)(0.99 * limit);
    rn_grad_accumulator_vector(&accumulator, 3, 1, &good);
    CHECK(!accumulator.overflowed);
    rn_grad_accumulator_vector(&accumulator, 3, 1, &bad[i]);
    CHECK(accumulator.overflowed);
    accumulator = start(exact);
    CHECK(!accumulator.overflowed);
    rn_grad_accumulator_row(&accumulator, 3, 1, REDUCTION_BLOCK, &good);
    CHECK(accumulator.overflowed);
  }
}

int main(void) {
  fill(dy, ROWS * N, 1);
  fill(x, ROWS * K, 2);
  order_and_grouping_do_not_matter();
  what_cannot_be_summed_is_noticed();
  return check_result();
}
