#include "model/ops/steps_tiling.h"

#include <assert.h>

#include "model/kernel/gemm.h"

/* Number of rows of a block. A product packs its weights for each block, which takes longer in
 * fp32. */
static int block_rows_of(int64_t rows) {
  if (rn_gemm_takes_bf16()) return rows >= 256 ? 128 : 64;
  return rows >= 1024 ? 256 : rows >= 256 ? 128 : 64;
}

/* Number of rows of a tile in a step that works on whole rows: few enough that they stay in cache
 * from one kernel to the next. */
enum { CACHED_ROWS = 32 };

/* The number of threads that the tiles of a product are meant for. */
enum { THREADS = 64 };

/* Returns the share of the time in which THREADS threads work, if all tasks are equal. */
static double busy_share(int64_t tasks) {
  const int64_t rounds = (tasks + THREADS - 1) / THREADS;
  return tasks == 0 ? 1 : (double)tasks / (double)(rounds * THREADS);
}

/* Returns the number of columns of a product's tiles: the largest with which THREADS threads are
 * busy, from MIN_COLS to MAX_COLS, or at least one grain. */
static int tile_cols_of(int64_t blocks, int64_t cols, int grain) {
  enum { MIN_COLS = 1024, MAX_COLS = 1024, ROUND = 64 };
  const double busy = 0.9;
  const int unit = grain >= ROUND ? grain : (ROUND + grain - 1) / grain * grain;
  const int max = MAX_COLS < unit ? unit : MAX_COLS / unit * unit;
  int best = max;
  for (int width = max; width >= unit && (width >= MIN_COLS || width == max); width -= unit) {
    const double share = busy_share(blocks * ((cols + width - 1) / width));
    const double best_share = busy_share(blocks * ((cols + best - 1) / best));
    if (best_share >= busy) break;
    if (share > best_share) best = width;
  }
  return best;
}

static rn_step_tiling step_tiling(const rn_steps_tiling *t, int64_t blocks, rn_step_shape shape) {
  rn_step_tiling s = {.rows = CACHED_ROWS, .cols = shape.cols, .width = shape.cols, .across = 1};
  if (shape.sum == 0) return s;
  s.rows = t->block_rows;
  s.cols = tile_cols_of(blocks, shape.cols, shape.grain);
  s.across = (shape.cols + s.cols - 1) / s.cols;
  return s;
}

/* In reproducible mode, the number of columns must not depend on the number of rows, which depends
 * on the layout of the ranks. It is chosen for a typical number of blocks. */
rn_steps_tiling rn_steps_tiling_of(rn_rows rows, const rn_step_shape *steps, int count) {
  enum { TYPICAL_BLOCKS = 32 };
  const bool parts = rows.reduction_block > 0;
  const int64_t longest = parts ? rows.reduction_block : rows.count;
  rn_steps_tiling t = {.rows = rows, .block_rows = block_rows_of(longest), .count = count};
  assert(count <= RN_TILE_STEPS_MAX);
  t.part_blocks = (longest + t.block_rows - 1) / t.block_rows;
  t.blocks = rows.count == 0 ? 0 : t.part_blocks * rn_rows_parts(rows);
  for (int i = 0; i < count; i++) {
    t.step[i] = step_tiling(&t, parts ? TYPICAL_BLOCKS : t.blocks, steps[i]);
  }
  return t;
}

rn_range rn_steps_tiling_block(const rn_steps_tiling *t, int64_t block) {
  const rn_range part = rn_rows_part(t->rows, block / t->part_blocks);
  const int64_t begin = part.begin + block % t->part_blocks * t->block_rows;
  if (begin >= part.end) return (rn_range){part.end, part.end};
  return (rn_range){begin, rn_smaller(begin + t->block_rows, part.end)};
}

int64_t rn_steps_tiling_count(const rn_steps_tiling *t, int step, int64_t block) {
  const int64_t rows = rn_range_count(rn_steps_tiling_block(t, block));
  return (rows + t->step[step].rows - 1) / t->step[step].rows * t->step[step].across;
}

rn_step_tile rn_steps_tiling_tile(const rn_steps_tiling *t, int step, int64_t block,
                                  int64_t index) {
  const rn_step_tiling *s = &t->step[step];
  const rn_range rows = rn_steps_tiling_block(t, block);
  const int64_t row = rows.begin + index / s->across * s->rows, col = index % s->across * s->cols;
  return (rn_step_tile){.rows = {row, rn_smaller(row + s->rows, rows.end)},
                        .cols = {col, rn_smaller(col + s->cols, s->width)}};
}

int64_t rn_steps_tiling_lag(const rn_steps_tiling *t, int threads) {
  int64_t wave = 0;
  for (int step = 0; step < t->count; step++) wave += rn_steps_tiling_count(t, step, 0);
  return threads == 1 ? 0 : 1 + threads / wave;
}
