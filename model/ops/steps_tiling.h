/**
 * Cuts work into tiles. The work consists of steps that process the same rows one after the other
 * (model/ops/tile_steps.h).
 *
 * Rows are cut into blocks, which are the same for all steps. A step cuts a block into tiles: by
 * columns if the step is a product, by rows if it works on whole rows. All sizes are pure functions
 * of shapes, so that bits do not depend on the number of threads. In reproducible mode, they do not
 * depend on the number of rows either.
 *
 * Tiles are small enough that 64 threads get equal amounts of work with 2048 rows of 512 columns,
 * and large enough that the product of a tile is about as fast (per FLOP) as a large product.
 */
#ifndef RN_MODEL_OPS_STEPS_TILING_H
#define RN_MODEL_OPS_STEPS_TILING_H

#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/pass/rows.h"
#include "proto/base/range.h"
#include "proto/ports/scan_port.h"

enum { RN_TILE_STEPS_MAX = 3 };

/**
 * The shape of the output of one step. Each element of a product is a sum of `sum` terms; if `sum`
 * is 0, the step is not a product and works on whole rows. Tile boundaries are at multiples of
 * `grain` columns, so that, for example, a tile has whole heads.
 */
typedef struct rn_step_shape {
  int cols, grain, sum;
} rn_step_shape;

/** A tile of the output of a step. */
typedef struct rn_step_tile {
  rn_range rows, cols;
} rn_step_tile;

/** How a step cuts each block into tiles of at most `rows` x `cols` elements; `across` is the
 * number of tiles that cover all columns of a row. */
typedef struct rn_step_tiling {
  int rows, cols;
  int64_t width, across; /* width: columns of the whole output */
} rn_step_tiling;

typedef struct rn_steps_tiling {
  rn_rows rows;
  int block_rows, count;
  /* number of blocks of one part of the rows (rn_rows_part), and of all parts */
  int64_t part_blocks, blocks;
  rn_step_tiling step[RN_TILE_STEPS_MAX];
} rn_steps_tiling;

/** Returns the tiling of `count` steps. */
rn_steps_tiling rn_steps_tiling_of(rn_rows rows, const rn_step_shape *steps, int count);

/** Returns the rows of a block. Each part of the rows (rn_rows_part) has part_blocks blocks; in a
 * part that is shorter than the longest part, the ranges of the last blocks may be empty. */
rn_range rn_steps_tiling_block(const rn_steps_tiling *tiling, int64_t block);

/** Returns the number of tiles of a block in a step; 0 if the block has no rows. */
int64_t rn_steps_tiling_count(const rn_steps_tiling *tiling, int step, int64_t block);

/** Returns the number of blocks by which each step lags behind the previous step. The lag is large
 * enough that `threads` threads run three rounds of tasks between a task and the tasks on which it
 * depends. */
int64_t rn_steps_tiling_lag(const rn_steps_tiling *tiling, int threads);

/** Returns tile `index` of a block in a step. */
rn_step_tile rn_steps_tiling_tile(const rn_steps_tiling *tiling, int step, int64_t block,
                                  int64_t index);

#endif
