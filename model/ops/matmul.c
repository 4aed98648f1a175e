/* Products are tiled over the output. Threads never split the sum of a tile, so its order does not
 * depend on their number. */
#include "model/ops/matmul.h"

#include <assert.h>
#include <omp.h>
#include <stddef.h>
#include <stdint.h>

#include "model/kernel/gemm.h"

/* How an output is tiled: parts of its rows, each split into tiles of one shape. */
typedef struct rn_tiling {
  rn_rows rows;
  int64_t cols, part_tiles, row_tiles, tiles;
  int tile_rows, tile_cols;
} rn_tiling;

/* Large tiles pack their operands less often; a small output is split finer, so that several
 * threads have work. A function of the output's shape, never of the number of threads. */
static int tile_rows_of(int64_t rows) {
  return rows >= 2048 ? 512 : rows >= 1024 ? 256 : rows >= 256 ? 128 : 64;
}

/* Each reduction block has tiles of its own: tiles of the whole output would make their shapes
 * depend on the number of reduction blocks. */
static rn_tiling tiling_of(rn_rows rows, int64_t cols, int tile_rows, int tile_cols) {
  const int64_t longest = rows.reduction_block > 0 ? rows.reduction_block : rows.count;
  if (rows.reduction_block > 0) tile_rows = rows.reduction_block;
  const int64_t part_tiles = (longest + tile_rows - 1) / tile_rows;
  const int64_t row_tiles = part_tiles * rn_rows_parts(rows);
  const int64_t tiles = rows.count == 0 ? 0 : row_tiles * ((cols + tile_cols - 1) / tile_cols);
  return (rn_tiling){rows, cols, part_tiles, row_tiles, tiles, tile_rows, tile_cols};
}

/* Wide enough that packing the rows again for each tile is negligible; wider tiles only enlarge
 * the packing buffers. */
enum { TILE_COLS = 1024 };

static rn_tiling tiling_of_rows(rn_rows rows, int64_t cols) {
  return tiling_of(rows, cols, tile_rows_of(rows.count), TILE_COLS);
}

/* Tiles of a weight gradient: about square. If there are several rows of tiles, their number is
 * even, like the number of threads: three tiles on two threads would take the time of four. */
static rn_tiling tiling_of_weights(int64_t rows, int64_t cols) {
  enum { ROUND = 64 };
  const int64_t elements = rows * cols;
  const int side = elements >= 1 << 19 ? 512 : elements >= 1 << 16 ? 256 : 64;
  const int64_t down = (rows + side - 1) / side, even = down > 1 ? down + down % 2 : 1;
  const int64_t unit = even * ROUND, tile_rows = (rows + unit - 1) / unit * ROUND;
  return tiling_of(rn_rows_together(rows), cols, rows > 0 ? (int)tile_rows : side, side);
}

typedef struct rn_tile {
  int64_t row, col;
  int rows, cols;
} rn_tile;

/* Consecutive tiles share columns: threads that run at the same time read the same weights. */
static rn_tile tile_at(const rn_tiling *tiling, int64_t index) {
  const int64_t row_tile = index % tiling->row_tiles;
  const rn_range part = rn_rows_part(tiling->rows, row_tile / tiling->part_tiles);
  const int64_t row = part.begin + row_tile % tiling->part_tiles * tiling->tile_rows;
  const int64_t col = index / tiling->row_tiles * tiling->tile_cols;
  const int64_t rows = part.end - row, cols = tiling->cols - col;
  return (rn_tile){row, col, (int)(rows < tiling->tile_rows ? rows : tiling->tile_rows),
                   (int)(cols < tiling->tile_cols ? cols : tiling->tile_cols)};
}

void rn_matmul_nt(rn_rows rows, int n, int k, rn_array x, int64_t ldx, rn_array w, int64_t ldw,
                  rn_real beta, rn_array y, int64_t ldy) {
  const rn_tiling tiling = tiling_of_rows(rows, n);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    rn_tile t = tile_at(&tiling, i);
    rn_gemm(RN_GEMM_NT, t.rows, t.cols, k, rn_array_from(x, t.row * ldx), ldx,
            rn_array_from(w, t.col * ldw), ldw, beta, rn_array_from(y, t.row * ldy + t.col), ldy);
  }
}

void rn_matmul_nn(rn_rows rows, int k, int n, rn_array dy, int64_t lddy, rn_array w, int64_t ldw,
                  rn_real beta, rn_array dx, int64_t lddx) {
  const rn_tiling tiling = tiling_of_rows(rows, k);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    rn_tile t = tile_at(&tiling, i);
    rn_gemm(RN_GEMM_NN, t.rows, t.cols, n, rn_array_from(dy, t.row * lddy), lddy,
            rn_array_from(w, t.col), ldw, beta, rn_array_from(dx, t.row * lddx + t.col), lddx);
  }
}

/* Rows that one call sums over: the packed operands stay in cache. */
enum { SUM_ROWS = 1024 };

void rn_matmul_tn(int64_t rows, int n, int k, rn_array dy, int64_t lddy, rn_array x, int64_t ldx,
                  rn_real beta, rn_array dw, int64_t lddw) {
  assert(rows <= INT32_MAX);
  const rn_tiling tiling = tiling_of_weights(n, k);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    rn_tile t = tile_at(&tiling, i);
    for (int64_t row = 0; row == 0 || row < rows; row += SUM_ROWS) {
      rn_gemm(RN_GEMM_TN, t.rows, t.cols, (int)(rows - row < SUM_ROWS ? rows - row : SUM_ROWS),
              rn_array_from(dy, row * lddy + t.row), lddy, rn_array_from(x, row * ldx + t.col), ldx,
              row == 0 ? beta : 1, rn_array_from(dw, t.row * lddw + t.col), lddw);
    }
  }
}

/* ---- blocks ---- */

/* Fewer rows make products slow. */
enum { MIN_POLLED_ROWS = 128 };

/* If a state passes `hops` ranks during this work, blocks get smaller so that there is a poll for
 * each hop. `hops` is the same with a communication thread, so the tiles do not depend on it. */
static rn_tiling tiling_of_polled_rows(rn_rows rows, int hops) {
  int tile_rows = tile_rows_of(rows.count);
  while (tile_rows > MIN_POLLED_ROWS && (int64_t)tile_rows * hops > rows.count) tile_rows /= 2;
  return tiling_of(rows, 1, tile_rows, TILE_COLS);
}

void rn_each_block(rn_rows rows, const rn_scan_port *port, rn_block_work *work, const void *self) {
  const rn_tiling tiling = tiling_of_polled_rows(rows, port != NULL ? port->hops : 0);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    const rn_tile t = tile_at(&tiling, i);
    work(self, (rn_range){t.row, t.row + t.rows});
    if (port != NULL && omp_get_thread_num() == 0) port->poll(port->self);
  }
}

static int width_at(int col, int cols) {
  return cols - col < TILE_COLS ? cols - col : TILE_COLS;
}

static void block_nt(rn_gemm_kind kind, rn_range rows, int n, int k, rn_array x, int64_t ldx,
                     rn_array w, int64_t ldw, rn_real beta, rn_array y, int64_t ldy) {
  for (int col = 0; col < n; col += TILE_COLS) {
    rn_gemm(kind, (int)rn_range_count(rows), width_at(col, n), k,
            rn_array_from(x, rows.begin * ldx), ldx, rn_array_from(w, col * ldw), ldw, beta,
            rn_array_from(y, rows.begin * ldy + col), ldy);
  }
}

void rn_block_nt(rn_range rows, int n, int k, rn_array x, int64_t ldx, rn_array w, int64_t ldw,
                 rn_real beta, rn_array y, int64_t ldy) {
  block_nt(RN_GEMM_NT, rows, n, k, x, ldx, w, ldw, beta, y, ldy);
}

void rn_block_nt_fp64_accumulate(rn_range rows, int n, int k, rn_array x, int64_t ldx, rn_array w,
                                 int64_t ldw, rn_array y, int64_t ldy) {
  block_nt(k <= RN_FP64_SUM_MAX ? RN_GEMM_NT_FP64_ACCUMULATE : RN_GEMM_NT, rows, n, k, x, ldx, w,
           ldw, 0, y, ldy);
}

void rn_block_nn(rn_range rows, int k, int n, rn_array dy, int64_t lddy, rn_array w, int64_t ldw,
                 rn_real beta, rn_array dx, int64_t lddx) {
  for (int col = 0; col < k; col += TILE_COLS) {
    rn_gemm(RN_GEMM_NN, (int)rn_range_count(rows), width_at(col, k), n,
            rn_array_from(dy, rows.begin * lddy), lddy, rn_array_from(w, col), ldw, beta,
            rn_array_from(dx, rows.begin * lddx + col), lddx);
  }
}
