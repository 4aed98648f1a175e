/* Tiles of the output; the sum of a tile is never cut, so its order is the product library's. */
#include "model/matmul.h"

#include <assert.h>
#include <stdint.h>

#include "model/kernel/products.h"

enum { TILE_COLS = 256 };

typedef struct rn_tiling {
  int64_t rows, cols, row_tiles, tiles;
  int tile_rows;
} rn_tiling;

/* Large tiles pack their operands less often; a small output is cut finer, so that several threads
 * find work. A function of the output's shape, never of the threads. */
static int tile_rows_of(int64_t elements) {
  return elements > 1 << 18 ? 256 : elements > 1 << 16 ? 128 : 64;
}

static rn_tiling tiling_of(int64_t rows, int64_t cols) {
  int tile_rows = tile_rows_of(rows * cols);
  int64_t row_tiles = (rows + tile_rows - 1) / tile_rows;
  int64_t tiles = row_tiles * ((cols + TILE_COLS - 1) / TILE_COLS);
  return (rn_tiling){rows, cols, row_tiles, tiles, tile_rows};
}

typedef struct rn_tile {
  int64_t row, col;
  int rows, cols;
} rn_tile;

/* Neighbouring tiles share columns: threads that work side by side read the same weights. */
static rn_tile tile_at(const rn_tiling *tiling, int64_t index) {
  int64_t row = index % tiling->row_tiles * tiling->tile_rows;
  int64_t col = index / tiling->row_tiles * TILE_COLS;
  int64_t rows = tiling->rows - row, cols = tiling->cols - col;
  return (rn_tile){row, col, (int)(rows < tiling->tile_rows ? rows : tiling->tile_rows),
                   (int)(cols < TILE_COLS ? cols : TILE_COLS)};
}

void rn_matmul_nt(int64_t rows, int n, int k, const rn_real *x, int64_t ldx, const rn_real *w,
                  int64_t ldw, rn_real beta, rn_real *y, int64_t ldy) {
  rn_gemm *gemm = rn_products_table()->nt;
  rn_tiling tiling = tiling_of(rows, n);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    rn_tile t = tile_at(&tiling, i);
    gemm(t.rows, t.cols, k, 1, x + t.row * ldx, ldx, w + t.col * ldw, ldw, beta,
         y + t.row * ldy + t.col, ldy);
  }
}

void rn_matmul_nn(int64_t rows, int k, int n, const rn_real *dy, int64_t lddy, const rn_real *w,
                  int64_t ldw, rn_real beta, rn_real *dx, int64_t lddx) {
  rn_gemm *gemm = rn_products_table()->nn;
  rn_tiling tiling = tiling_of(rows, k);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    rn_tile t = tile_at(&tiling, i);
    gemm(t.rows, t.cols, n, 1, dy + t.row * lddy, lddy, w + t.col, ldw, beta,
         dx + t.row * lddx + t.col, lddx);
  }
}

void rn_matmul_tn(int64_t rows, int n, int k, const rn_real *dy, int64_t lddy, const rn_real *x,
                  int64_t ldx, rn_real beta, rn_real *dw, int64_t lddw) {
  assert(rows <= INT32_MAX);
  rn_gemm *gemm = rn_products_table()->tn;
  rn_tiling tiling = tiling_of(n, k);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    rn_tile t = tile_at(&tiling, i);
    gemm(t.rows, t.cols, (int)rows, 1, dy + t.row, lddy, x + t.col, ldx, beta,
         dw + t.row * lddw + t.col, lddw);
  }
}
