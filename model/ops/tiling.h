/**
 * Cuts the outputs of matrix products into tiles. A tiling is a pure function of shapes, so that
 * bits do not depend on the number of threads.
 *
 * Tiles are large enough that the product of a tile is about as fast (per FLOP) as a large product.
 * This was measured with oneDNN and OpenBLAS on AVX-512 and AVX2. The tiles of the steps within
 * layers are defined in model/ops/steps_tiling.h.
 */
#ifndef RN_MODEL_OPS_TILING_H
#define RN_MODEL_OPS_TILING_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/pass/rows.h"

/** A tiling. Each part of the rows (rn_rows_part) is split into tiles of one shape; the last tiles
 * of a part may be smaller. */
typedef struct rn_tiling {
  rn_rows rows;
  int64_t cols, part_tiles, row_tiles, tiles;
  int tile_rows, tile_cols;
} rn_tiling;

typedef struct rn_tile {
  int64_t row, col;
  int rows, cols;
} rn_tile;

/** Returns the tiling of an output whose rows are those of activations. `bf16` is true if the
 * factors are in bf16. */
rn_tiling rn_tiling_of_rows(rn_rows rows, int64_t cols, bool bf16);

/** Returns the tiling of the gradient [n, k] of a weight. */
rn_tiling rn_tiling_of_weight(int64_t n, int64_t k);

/** Returns tile `index`. Consecutive tiles share columns, so that threads that run at the same
 * time read the same weights. */
rn_tile rn_tiling_tile(const rn_tiling *tiling, int64_t index);

/** Number of rows in one piece of a weight product. A piece is the part of the sum over rows that
 * one call computes. It is small enough that the packed operands stay in cache. Different threads
 * may add the pieces of one sum, one after the other. */
enum { RN_TILING_SUM_ROWS = 512 };

/** Returns the number of pieces of RN_TILING_SUM_ROWS rows in a sum over `rows`; at least 1. */
static inline int64_t rn_tiling_pieces(int64_t rows) {
  return rows <= RN_TILING_SUM_ROWS ? 1 : (rows + RN_TILING_SUM_ROWS - 1) / RN_TILING_SUM_ROWS;
}

/** Number of columns of a tile of activation rows. The number is large enough that the time to pack
 * the rows again for each tile is negligible; a larger number would only enlarge the packing
 * buffers. */
enum { RN_TILING_COLS = 1024 };

#endif
