/**
 * How an output is cut into tiles: pure functions of shapes, so that bits do not depend on threads.
 *
 * Tiles are small enough that 16 threads find work in 4096 rows, and large enough that a product of
 * one tile reaches the rate of a large one: what a tile loses was measured with oneDNN and OpenBLAS
 * on AVX-512 and AVX2.
 */
#ifndef RN_MODEL_OPS_TILING_H
#define RN_MODEL_OPS_TILING_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/pass/rows.h"

/** Parts of the rows, each split into tiles of one shape; the last of a part may be smaller. */
typedef struct rn_tiling {
  rn_rows rows;
  int64_t cols, part_tiles, row_tiles, tiles;
  int tile_rows, tile_cols;
} rn_tiling;

typedef struct rn_tile {
  int64_t row, col;
  int rows, cols;
} rn_tile;

/** An output of rows of activations, by columns. `bf16`: the type of the factors. */
rn_tiling rn_tiling_of_rows(rn_rows rows, int64_t cols, bool bf16);

/**
 * Blocks of whole rows. If a state passes `hops` ranks during this work, blocks get smaller so that
 * there is a poll for each hop. `hops` is the same with a communication thread, so the tiles do not
 * depend on it.
 */
rn_tiling rn_tiling_of_blocks(rn_rows rows, int hops, bool bf16);

/** The gradient [n, k] of a weight. */
rn_tiling rn_tiling_of_weight(int64_t n, int64_t k);

/** Tile `index`. Consecutive tiles share columns: threads that run at the same time read the same
 * weights. */
rn_tile rn_tiling_tile(const rn_tiling *tiling, int64_t index);

/** Rows that one call of a weight product sums over: the packed operands stay in cache, and pieces
 * of one sum can go to different threads, in their order. */
enum { RN_TILING_SUM_ROWS = 1024 };

/** Pieces of RN_TILING_SUM_ROWS in a sum over `rows`; at least 1. */
static inline int64_t rn_tiling_pieces(int64_t rows) {
  return rows <= RN_TILING_SUM_ROWS ? 1 : (rows + RN_TILING_SUM_ROWS - 1) / RN_TILING_SUM_ROWS;
}

/** Columns of a tile of rows. Wide enough that packing the rows again for each tile is negligible;
 * wider tiles only enlarge the packing buffers. */
enum { RN_TILING_COLS = 1024 };

#endif
