/* Checks that each tile of each step is computed once, after all tiles of the previous step in
 * the same block of rows, for any number of threads and any delays. Blocks must not cross
 * boundaries of reduction blocks, and only the first thread may poll. */
#include "model/ops/tile_steps.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "model/base/threads.h"
#include "proto/base/clock.h"
#include "tests/support/check.h"

enum { STEPS = 3 };

/* Records how many times each element of each step was computed, and counts errors. */
typedef struct record {
  rn_tile_step steps[STEPS];
  unsigned char *computed[STEPS];
  int64_t rows, part_rows; /* part_rows: rows of a reduction block, or 0 */
  double delay_s;
  atomic_int early, crossing, split_grains, polls, foreign_polls;
} record;

/* Waits between 0 and delay_s; the time depends on the tile. */
static void delay(const record *r, int step, const rn_step_tile *tile) {
  const uint64_t mixed =
      ((uint64_t)tile->rows.begin * 31 + (uint64_t)tile->cols.begin * 17 + (uint64_t)step) *
      UINT64_C(0x9E3779B97F4A7C15);
  const double until = rn_clock_s() + r->delay_s * (double)(mixed >> 40) * 0x1p-24;
  while (r->delay_s > 0 && rn_clock_s() < until) {
  }
}

static void compute(record *r, int step, const rn_step_tile *tile) {
  const rn_step_shape shape = r->steps[step].shape;
  const int64_t before = step > 0 ? r->steps[step - 1].shape.cols : 0;
  delay(r, step, tile);
  if (tile->cols.begin % shape.grain != 0) atomic_fetch_add(&r->split_grains, 1);
  if (r->part_rows > 0 && tile->rows.begin / r->part_rows != (tile->rows.end - 1) / r->part_rows) {
    atomic_fetch_add(&r->crossing, 1);
  }
  for (int64_t row = tile->rows.begin; row < tile->rows.end; row++) {
    for (int64_t col = 0; col < before; col++) {
      if (r->computed[step - 1][row * before + col] != 1) atomic_fetch_add(&r->early, 1);
    }
    for (int64_t col = tile->cols.begin; col < tile->cols.end; col++) {
      r->computed[step][row * shape.cols + col]++;
    }
  }
}

static void first_step(const void *self, const rn_step_tile *tile) {
  compute(*(record *const *)self, 0, tile);
}

static void second_step(const void *self, const rn_step_tile *tile) {
  compute(*(record *const *)self, 1, tile);
}

static void third_step(const void *self, const rn_step_tile *tile) {
  compute(*(record *const *)self, 2, tile);
}

static void poll(void *self) {
  record *r = self;
  atomic_fetch_add(&r->polls, 1);
  if (omp_get_thread_num() != 0) atomic_fetch_add(&r->foreign_polls, 1);
}

static int64_t not_computed_once(const record *r, int step) {
  const int64_t count = r->rows * r->steps[step].shape.cols;
  int64_t wrong = 0;
  for (int64_t i = 0; i < count; i++) wrong += r->computed[step][i] != 1;
  return wrong;
}

static void run(rn_rows rows, const rn_step_shape *shapes, int threads, double delay_s) {
  static rn_tile_work *const work[STEPS] = {first_step, second_step, third_step};
  record r = {.rows = rows.count, .part_rows = rows.reduction_block, .delay_s = delay_s},
         *self = &r;
  const rn_scan_port port = {.self = &r, .poll = poll};
  for (int i = 0; i < STEPS; i++) {
    r.steps[i] = (rn_tile_step){work[i], shapes[i]};
    r.computed[i] = calloc((size_t)(rows.count * shapes[i].cols) + 1, 1);
  }
  rn_threads_start(threads);
  rn_tile_steps_run(rows, &port, r.steps, STEPS, &self);
  for (int i = 0; i < STEPS; i++) {
    CHECK_EQUAL(not_computed_once(&r, i), 0);
    free(r.computed[i]);
  }
  CHECK_EQUAL(r.early, 0);
  CHECK_EQUAL(r.crossing, 0);
  CHECK_EQUAL(r.split_grains, 0);
  CHECK_EQUAL(r.foreign_polls, 0);
  if (threads == 1 && rows.count > 0) CHECK(r.polls > 0);
}

int main(void) {
  static const rn_step_shape shapes[STEPS] = {{1300, 28, 64}, {1300, 1, 0}, {700, 1, 1300}},
                             narrow[STEPS] = {{2, 1, 64}, {2, 2, 0}, {1, 1, 64}};
  static const int64_t counts[] = {0, 1, 63, 1000, 1900};
  for (int threads = 1; threads <= 8; threads++) {
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
      run(rn_rows_together(counts[i]), shapes, threads, threads % 2 == 0 ? 50e-6 : 0);
    }
    run((rn_rows){.count = 2048, .tokens = 1024, .reduction_block = 256}, shapes, threads, 0);
  }
  run(rn_rows_together(300000), narrow, 3, 0);
  return check_result();
}
