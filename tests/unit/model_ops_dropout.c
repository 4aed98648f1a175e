/* Checks that dropout of an element depends on the element's position in the data, not on how
 * the batch is divided. */
#include "model/ops/dropout.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/gradient.h"

enum { SEQUENCES = 4, TOKENS = 24, WIDTH = 30, ALL = SEQUENCES * TOKENS * WIDTH };

static const int64_t numbers[SEQUENCES] = {7, 3000000000, 9, 12};

static rn_unit unit_of(int first_sequence, int sequences, int64_t position, int tokens) {
  return (rn_unit){.sequences = sequences,
                   .tokens = tokens,
                   .sequence_index = numbers + first_sequence,
                   .position = position,
                   .step = 5};
}

static void ones(rn_real *x, int n) {
  for (int i = 0; i < n; i++) x[i] = 1;
}

static void the_cut_of_the_batch_does_not_matter(void) {
  rn_real whole[ALL], segment[ALL];
  rn_unit unit = unit_of(0, SEQUENCES, 0, TOKENS);
  ones(whole, ALL);
  rn_dropout_rows((rn_dropout){0.3, 1, 2, RN_DROPOUT_FFN}, &unit, WIDTH, whole);
  omp_set_num_threads(1);
  rn_unit part = unit_of(1, 2, 10, 7);
  ones(segment, ALL);
  rn_dropout_rows((rn_dropout){0.3, 1, 2, RN_DROPOUT_FFN}, &part, WIDTH, segment);
  omp_set_num_threads(2);
  for (int b = 0; b < 2; b++) {
    CHECK(memcmp(segment + b * 7 * WIDTH, whole + ((b + 1) * TOKENS + 10) * WIDTH,
                 7 * WIDTH * sizeof segment[0]) == 0);
  }
}

static void every_part_of_the_key_matters(void) {
  rn_unit unit = unit_of(0, SEQUENCES, 0, TOKENS);
  enum { VARIANTS = 5 };
  rn_real base[ALL], other[ALL];
  ones(base, ALL);
  rn_dropout_rows((rn_dropout){0.5, 1, 2, RN_DROPOUT_FFN}, &unit, WIDTH, base);
  for (int v = 0; v < VARIANTS; v++) {
    rn_unit changed = unit;
    if (v == 0) changed.step = 6;
    if (v == 1) changed.position = 100;
    ones(other, ALL);
    const rn_dropout dropout = {.p = 0.5,
                                .seed = v == 2 ? 2 : 1,
                                .layer = v == 3 ? 1 : 2,
                                .site = v == 4 ? RN_DROPOUT_RETENTION : RN_DROPOUT_FFN};
    rn_dropout_rows(dropout, &changed, WIDTH, other);
    int same = 0;
    for (int i = 0; i < ALL; i++) same += base[i] == other[i];
    CHECK(abs(2 * same - ALL) < 6 * (int)sqrt(ALL));
  }
  CHECK(memcmp(base, base + TOKENS * WIDTH, WIDTH * sizeof base[0]) != 0);
  CHECK(memcmp(base, base + WIDTH, WIDTH * sizeof base[0]) != 0);
}

static void the_kept_are_scaled_and_as_many_as_asked(void) {
  rn_unit unit = unit_of(0, SEQUENCES, 0, TOKENS);
  for (double p = 0.1; p < 1; p += 0.4) {
    rn_real x[ALL], y[ALL];
    ones(x, ALL);
    test_fill(y, ALL, 1, 4);
    rn_dropout_rows((rn_dropout){p, 1, 0, RN_DROPOUT_EMBED}, &unit, WIDTH, x);
    int kept = 0;
    for (int i = 0; i < ALL; i++) {
      CHECK(x[i] == 0 || fabs((double)x[i] * (1 - p) - 1) < 1e-6);
      kept += x[i] != 0;
    }
    CHECK(fabs(kept - (1 - p) * ALL) < 5 * sqrt(p * (1 - p) * ALL));
    rn_real kept_y[ALL];
    for (int i = 0; i < ALL; i++) kept_y[i] = x[i] == 0 ? 0 : y[i] * x[i];
    rn_dropout_rows((rn_dropout){p, 1, 0, RN_DROPOUT_EMBED}, &unit, WIDTH, y);
    CHECK_ARRAY("the same mask on a gradient", y, kept_y, ALL, test_tolerance);
  }
}

static void none_and_nothing(void) {
  rn_unit unit = unit_of(0, SEQUENCES, 0, TOKENS), empty = unit_of(0, SEQUENCES, 0, 0);
  rn_real x[ALL], y[ALL];
  test_fill(x, ALL, 1, 4);
  memcpy(y, x, sizeof x);
  rn_dropout_rows((rn_dropout){0, 1, 0, RN_DROPOUT_EMBED}, &unit, WIDTH, x);
  rn_dropout_rows((rn_dropout){0.5, 1, 0, RN_DROPOUT_EMBED}, &empty, WIDTH, x);
  CHECK(memcmp(x, y, sizeof x) == 0);
}

int main(void) {
  the_cut_of_the_batch_does_not_matter();
  every_part_of_the_key_matters();
  the_kept_are_scaled_and_as_many_as_asked();
  none_and_nothing();
  return check_result();
}
