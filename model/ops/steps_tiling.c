#include "model/ops/steps_tiling.h"

#include <assert.h>

/* Returns the number of rows of a block. Products of 128 rows are as fast as products of more rows
 * if their weights are packed (model/kernel/gemm_pack.h). A small reduction block
 * (model/pass/rows.h) is not split. */
static int block_rows_of(rn_rows rows) {
  enum { SMALL = 256 };
  const bool parts = rows.reduction_block > 0;
  if (parts && rows.reduction_block <= SMALL) return rows.reduction_block;
  return parts || rows.count >= 1024 ? 128 : 64;
}

/* Returns the number of rows of a tile in a step that works on whole rows: few enough that they
 * stay in cache from one kernel to the next. */
static int cached_rows(int cols) {
  enum { MAX_ROWS = 32, ELEMENTS = 1 << 15 };
  const int rows = ELEMENTS / (cols > 0 ? cols : 1);
  return rows < 1 ? 1 : rows > MAX_ROWS ? MAX_ROWS : rows;
}

/* The number of threads for which the sizes of a product's tiles are chosen. */
enum { THREADS = 64 };

/* Returns the fraction of the time for which THREADS threads are busy if tiles have `width`
 * columns. */
static double busy_share(int64_t blocks, int64_t cols, int64_t width) {
  const int64_t tasks = blocks * ((cols + width - 1) / width);
  const int64_t rounds = (tasks + THREADS - 1) / THREADS;
  return (double)(blocks * cols) / (double)(rounds * THREADS * width);
}

/*
 * Returns the number of columns of a product's tiles, a multiple of `grain`: the largest number
 * from MIN_COLS to MAX_COLS for which THREADS threads are busy for 90 % of the time or, if there is
 * none, the number for which they are busy for the largest fraction of the time. Packed products
 * are equally fast for all numbers in this range. Wider tiles would make the time between two polls
 * of the port too long and would not fit in the second-level cache.
 */
static int tile_cols_of(int64_t blocks, int64_t cols, int grain) {
  enum { MIN_COLS = 128, MAX_COLS = 256, ROUND = 64 };
  const double busy = 0.9;
  const int64_t unit = grain >= ROUND ? grain : (ROUND + grain - 1) / grain * grain;
  const int64_t units = (cols + unit - 1) / unit;
  int64_t best = 0;
  for (int64_t across = 1; across <= units; across++) {
    const int64_t width = (units + across - 1) / across * unit;
    if (width > MAX_COLS && width > unit) continue;
    if (best > 0 && (width < MIN_COLS || busy_share(blocks, cols, best) >= busy)) break;
    if (best == 0 || busy_share(blocks, cols, width) > busy_share(blocks, cols, best)) best = width;
  }
  return (int)(best > 0 ? best : unit);
}

static rn_step_tiling step_tiling(int block_rows, int64_t blocks, rn_step_shape shape) {
  rn_step_tiling s = {
      .rows = cached_rows(shape.cols), .cols = shape.cols, .width = shape.cols, .across = 1};
  if (shape.sum == 0) return s;
  s.rows = block_rows;
  s.cols = tile_cols_of(blocks, shape.cols, shape.grain);
  s.across = (shape.cols + s.cols - 1) / s.cols;
  return s;
}

/* Returns the number of blocks that is assumed when the width of tiles is chosen. In reproducible
 * mode, this is not the actual number: tiles must not depend on the number of rows, because that
 * number depends on the layout of the ranks. */
static int64_t typical_blocks(const rn_steps_tiling *t) {
  enum { TYPICAL_BLOCKS = 32, MANY = 8 };
  if (t->rows.reduction_block == 0) return t->blocks;
  return t->part_blocks >= MANY ? t->part_blocks : TYPICAL_BLOCKS;
}

rn_steps_tiling rn_steps_tiling_of(rn_rows rows, const rn_step_shape *steps, int count) {
  const int64_t longest = rows.reduction_block > 0 ? rows.reduction_block : rows.count;
  rn_steps_tiling t = {.rows = rows, .block_rows = block_rows_of(rows), .count = count};
  assert(count <= RN_TILE_STEPS_MAX);
  t.part_blocks = (longest + t.block_rows - 1) / t.block_rows;
  t.blocks = rows.count == 0 ? 0 : t.part_blocks * rn_rows_parts(rows);
  for (int i = 0; i < count; i++) {
    t.step[i] = step_tiling(t.block_rows, typical_blocks(&t), steps[i]);
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

/* With a smaller lag, threads would wait for each other at the end, where only the last steps have
 * tasks left. With a larger lag, rows would not stay in cache. */
int64_t rn_steps_tiling_lag(const rn_steps_tiling *t, int threads) {
  int64_t fewest = INT64_MAX;
  for (int step = 0; step + 1 < t->count; step++) {
    fewest = rn_smaller(fewest, rn_steps_tiling_count(t, step, 0));
  }
  return t->count == 1 ? 0 : (3 * (threads - 1) + fewest - 1) / fewest;
}
