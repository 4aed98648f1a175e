/* Products are split into tiles of the output. The sum over rows of a weight gradient is cut
 * into pieces of fixed size, which are added in order no matter which threads compute them. So bits
 * do not depend on the number of threads. */
#include "model/ops/matmul.h"

#include <assert.h>
#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "model/kernel/gemm.h"
#include "model/ops/tiling.h"

/* Maximal sum length of one call of an NT product in fp32. Longer sums need tiles with more rows
 * to reach the same rate, because packing w takes longer. */
enum { NT_SUM = 512 };

/* Arguments of one tile of y = x w^T + beta y. The arrays begin at the tile's first elements. */
typedef struct nt_tile {
  int rows, cols, k;
  rn_array x, w, y;
  int64_t ldx, ldw, ldy;
  rn_real beta;
} nt_tile;

static void multiply_nt(const nt_tile *t) {
  const int step = t->x.bf16 || t->y.bf16 ? t->k : NT_SUM;
  for (int at = 0; at < t->k; at += step) {
    rn_gemm(RN_GEMM_NT, t->rows, t->cols, t->k - at < step ? t->k - at : step,
            rn_array_from(t->x, at), t->ldx, rn_array_from(t->w, at), t->ldw, at == 0 ? t->beta : 1,
            t->y, t->ldy);
  }
}

void rn_matmul_nt(rn_rows rows, int n, int k, rn_array x, int64_t ldx, rn_array w, int64_t ldw,
                  rn_real beta, rn_array y, int64_t ldy) {
  const rn_tiling tiling = rn_tiling_of_rows(rows, n, x.bf16);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    const rn_tile t = rn_tiling_tile(&tiling, i);
    const nt_tile tile = {t.rows,
                          t.cols,
                          k,
                          rn_array_from(x, t.row * ldx),
                          rn_array_from(w, t.col * ldw),
                          rn_array_from(y, t.row * ldy + t.col),
                          ldx,
                          ldw,
                          ldy,
                          beta};
    multiply_nt(&tile);
  }
}

void rn_matmul_nn(rn_rows rows, int k, int n, rn_array dy, int64_t lddy, rn_array w, int64_t ldw,
                  rn_real beta, rn_array dx, int64_t lddx) {
  const rn_tiling tiling = rn_tiling_of_rows(rows, k, dy.bf16);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    const rn_tile t = rn_tiling_tile(&tiling, i);
    rn_gemm(RN_GEMM_NN, t.rows, t.cols, n, rn_array_from(dy, t.row * lddy), lddy,
            rn_array_from(w, t.col), ldw, beta, rn_array_from(dx, t.row * lddx + t.col), lddx);
  }
}

void rn_matmul_tn(int64_t rows, int n, int k, rn_array dy, int64_t lddy, rn_array x, int64_t ldx,
                  rn_real beta, rn_array dw, int64_t lddw) {
  const rn_tn_product product = {n, k, {dy, lddy}, {x, ldx}, {dw, lddw}};
  rn_matmul_tn_all(rows, &product, 1, beta);
}

/* ---- several weight products in one pool of tasks ---- */

/* A task computes one piece of the sum of one tile. Tasks are ordered by piece, then by tile. So
 * the previous piece of the same tile was begun `tiles` tasks earlier. */
typedef struct pool {
  const rn_tn_product *product;
  int count, pieces;
  int64_t rows, tiles;
  rn_tiling tiling[RN_TN_PRODUCTS_MAX];
  rn_real beta;
} pool;

static pool pool_of(int64_t rows, const rn_tn_product *products, int count, rn_real beta) {
  pool p = {.product = products,
            .count = count,
            .pieces = (int)rn_tiling_pieces(rows),
            .rows = rows,
            .beta = beta};
  assert(rows <= INT32_MAX && count <= RN_TN_PRODUCTS_MAX);
  for (int i = 0; i < count; i++) {
    p.tiling[i] = rn_tiling_of_weight(products[i].n, products[i].k);
    p.tiles += p.tiling[i].tiles;
  }
  return p;
}

static void multiply_piece(const pool *p, int64_t tile, int piece) {
  int i = 0;
  while (tile >= p->tiling[i].tiles) tile -= p->tiling[i++].tiles;
  const rn_tn_product *m = &p->product[i];
  const rn_tile t = rn_tiling_tile(&p->tiling[i], tile);
  const int64_t row = (int64_t)piece * RN_TILING_SUM_ROWS, left = p->rows - row;
  const rn_matrix dy = rn_matrix_from(m->dy, row, t.row), x = rn_matrix_from(m->x, row, t.col),
                  dw = rn_matrix_from(m->dw, t.row, t.col);
  rn_gemm(RN_GEMM_TN, t.rows, t.cols, (int)(left < RN_TILING_SUM_ROWS ? left : RN_TILING_SUM_ROWS),
          dy.x, dy.ld, x.x, x.ld, piece == 0 ? p->beta : 1, dw.x, dw.ld);
}

/* Waits until `done` reaches `piece`. Cannot deadlock: some thread has already begun the
 * previous piece, though the system may have suspended that thread. */
static void wait_for_piece(atomic_int *done, int piece) {
  enum { SPINS = 1000 };
  for (int spins = 0; atomic_load_explicit(done, memory_order_acquire) < piece; spins++) {
    if (spins > SPINS) sched_yield();
  }
}

/* Maximal number of tiles whose pieces are shared among threads. With more tiles, each thread
 * computes whole tiles. */
enum { MAX_SHARED_TILES = 1024 };

static void run_shared_tiles(const pool *p) {
  atomic_int done[MAX_SHARED_TILES];
  atomic_llong next = 0;
  for (int64_t i = 0; i < p->tiles; i++) atomic_init(&done[i], 0);
#pragma omp parallel
  for (int64_t i; (i = atomic_fetch_add(&next, 1)) < p->tiles * p->pieces;) {
    const int64_t tile = i % p->tiles;
    const int piece = (int)(i / p->tiles);
    wait_for_piece(&done[tile], piece);
    multiply_piece(p, tile, piece);
    atomic_store_explicit(&done[tile], piece + 1, memory_order_release);
  }
}

void rn_matmul_tn_all(int64_t rows, const rn_tn_product *products, int count, rn_real beta) {
  const pool p = pool_of(rows, products, count, beta);
  if (p.pieces > 1 && p.tiles <= MAX_SHARED_TILES) {
    run_shared_tiles(&p);
    return;
  }
#pragma omp parallel for schedule(dynamic)
  for (int64_t tile = 0; tile < p.tiles; tile++) {
    for (int piece = 0; piece < p.pieces; piece++) multiply_piece(&p, tile, piece);
  }
}

/* ---- blocks ---- */

void rn_each_block(rn_rows rows, const rn_scan_port *port, rn_block_work *work, const void *self) {
  const rn_tiling tiling =
      rn_tiling_of_blocks(rows, port != NULL ? port->hops : 0, rn_gemm_takes_bf16());
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiling.tiles; i++) {
    const rn_tile t = rn_tiling_tile(&tiling, i);
    work(self, (rn_range){t.row, t.row + t.rows});
    if (port != NULL && omp_get_thread_num() == 0) port->poll(port->self);
  }
}

static int width_at(int col, int cols) {
  return cols - col < RN_TILING_COLS ? cols - col : RN_TILING_COLS;
}

void rn_block_nt(rn_range rows, int n, int k, rn_array x, int64_t ldx, rn_array w, int64_t ldw,
                 rn_real beta, rn_array y, int64_t ldy) {
  for (int col = 0; col < n; col += RN_TILING_COLS) {
    const nt_tile tile = {(int)rn_range_count(rows),
                          width_at(col, n),
                          k,
                          rn_array_from(x, rows.begin * ldx),
                          rn_array_from(w, col * ldw),
                          rn_array_from(y, rows.begin * ldy + col),
                          ldx,
                          ldw,
                          ldy,
                          beta};
    multiply_nt(&tile);
  }
}

void rn_block_nt_fp64_accumulate(rn_range rows, int n, int k, rn_array x, int64_t ldx, rn_array w,
                                 int64_t ldw, rn_array y, int64_t ldy) {
  if (k > RN_FP64_SUM_MAX) {
    rn_block_nt(rows, n, k, x, ldx, w, ldw, 0, y, ldy);
    return;
  }
  for (int col = 0; col < n; col += RN_TILING_COLS) {
    rn_gemm(RN_GEMM_NT_FP64_ACCUMULATE, (int)rn_range_count(rows), width_at(col, n), k,
            rn_array_from(x, rows.begin * ldx), ldx, rn_array_from(w, col * ldw), ldw, 0,
            rn_array_from(y, rows.begin * ldy + col), ldy);
  }
}

void rn_block_nn(rn_range rows, int k, int n, rn_array dy, int64_t lddy, rn_array w, int64_t ldw,
                 rn_real beta, rn_array dx, int64_t lddx) {
  for (int col = 0; col < k; col += RN_TILING_COLS) {
    rn_gemm(RN_GEMM_NN, (int)rn_range_count(rows), width_at(col, k), n,
            rn_array_from(dy, rows.begin * lddy), lddy, rn_array_from(w, col), ldw, beta,
            rn_array_from(dx, rows.begin * lddx + col), lddx);
  }
}
