/* Tiles of the output; the sum of a tile is never cut, so its order is the product library's. */
#include "model/matmul.h"

#include <assert.h>
#include <stdint.h>

#include "model/kernel/products.h"

enum { TILE_ROWS = 128, TILE_COLS = 512 };

typedef struct rn_tiling {
  int64_t rows, cols, row_tiles, tiles;
} rn_tiling;

static rn_tiling tiling_of(int64_t rows, int64_t cols) {
  int64_t row_tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
  return (rn_tiling){rows, cols, row_tiles, row_tiles * ((cols + TILE_COLS - 1) / TILE_COLS)};
}

typedef struct rn_tile {
  int64_t row, col;
  int rows, cols;
} rn_tile;

/* Neighbouring tiles share columns: threads that work side by side read the same weights. */
static rn_tile tile_at(const rn_tiling *tiling, int64_t index) {
  int64_t row = index % tiling->row_tiles * TILE_ROWS, col = index / tiling->row_tiles * TILE_COLS;
  int64_t rows = tiling->rows - row, cols = tiling->cols - col;
  return (rn_tile){row, col, (int)(rows < TILE_ROWS ? rows : TILE_ROWS),
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
