/* Checks that weight products have enough tiles of nearly equal size to keep many threads busy.
 * The efficiencies are computed from the tilings in use, not measured. Also checks that partial
 * sums computed by different threads are added in order, so that the number of threads does not
 * change the results. */
#include "model/ops/tiling.h"

#include <stdlib.h>
#include <string.h>

#include "model/base/threads.h"
#include "model/ops/matmul.h"
#include "tests/support/check.h"
#include "tests/support/gradient.h"

enum { MAX_THREADS = 64 };

/* Returns the thread that becomes free first, where thread t is busy until time busy[t]. */
static int first_free(const double *busy, int threads) {
  int first = 0;
  for (int t = 1; t < threads; t++) {
    if (busy[t] < busy[first]) first = t;
  }
  return first;
}

static double latest(const double *busy, int threads) {
  double end = 0;
  for (int t = 0; t < threads; t++) end = busy[t] > end ? busy[t] : end;
  return end;
}

/* Returns the efficiency of the gradient products of two weights [n, k] over `rows` rows, where
 * each free thread takes the next task in order. A task is a piece of the sum of a tile, and waits
 * for the previous piece of the same tile. */
static double efficiency_of_weights(int64_t rows, const int (*shape)[2], int threads) {
  enum { MAX_TILES = 4096 };
  static double done[MAX_TILES], cost[MAX_TILES];
  double busy[MAX_THREADS] = {0}, work = 0;
  int64_t tiles = 0;
  for (int i = 0; i < 2; i++) {
    const rn_tiling tiling = rn_tiling_of_weight(shape[i][0], shape[i][1]);
    for (int64_t tile = 0; tile < tiling.tiles; tile++) {
      const rn_tile t = rn_tiling_tile(&tiling, tile);
      done[tiles] = 0;
      cost[tiles++] = (double)t.rows * t.cols;
    }
  }
  for (int64_t task = 0; task < tiles * rn_tiling_pieces(rows); task++) {
    const int thread = first_free(busy, threads);
    double *at = &busy[thread], *before = &done[task % tiles];
    *at = (*at > *before ? *at : *before) + cost[task % tiles];
    *before = *at;
    work += cost[task % tiles];
  }
  return work / (threads * latest(busy, threads));
}

static void threads_find_work(void) {
  /* Shapes [n, k] of weights whose gradients are computed together: in qkvg the projections of (k,
   * v) and of (q, g), in ffn fc2 and (fc1, gate). The model width D is 512 (narrow) or 2048 (wide);
   * value_dim = ffn_dim = 2 * D. */
  static const int narrow_qkvg[2][2] = {{1536, 512}, {1536, 512}},
                   narrow_ffn[2][2] = {{512, 1024}, {2048, 512}},
                   wide_qkvg[2][2] = {{6144, 2048}, {6144, 2048}},
                   wide_ffn[2][2] = {{2048, 4096}, {8192, 2048}};
  for (int64_t rows = 4096; rows <= 8192; rows *= 2) {
    for (int threads = 1; threads <= 16; threads *= 2) {
      CHECK(efficiency_of_weights(rows, narrow_qkvg, threads) >= 0.9);
      CHECK(efficiency_of_weights(rows, narrow_ffn, threads) >= 0.9);
    }
    for (int threads = 1; threads <= MAX_THREADS; threads *= 2) {
      CHECK(efficiency_of_weights(rows, wide_qkvg, threads) >= 0.9);
      CHECK(efficiency_of_weights(rows, wide_ffn, threads) >= 0.9);
    }
  }
}

/* Several products in one pool must equal separately computed products, for any number of
 * threads. */
static void pooled_sums_keep_their_order(void) {
  enum { ROWS = 3000, N = 192, K = 160, SIZE = N * K };
  rn_real *dy = malloc(ROWS * N * sizeof *dy), *x = malloc(ROWS * K * sizeof *x);
  rn_real *alone = calloc(2 * SIZE, sizeof *alone), *pooled = malloc(2 * SIZE * sizeof *pooled);
  const rn_matrix left = rn_matrix_of_reals(dy, N), right = rn_matrix_of_reals(x, K);
  static const int threads[] = {1, 2, 3, 5, 8, 8, 8, 8, 8, 8};
  test_fill(dy, ROWS * N, 1, 1);
  test_fill(x, ROWS * K, 1, 2);
  rn_threads_start(1);
  rn_matmul_tn(ROWS, N, K, left.x, N, right.x, K, 1, rn_reals(alone), K);
  rn_matmul_tn(ROWS, K, N, right.x, K, left.x, N, 1, rn_reals(alone + SIZE), N);
  for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
    const rn_tn_product products[] = {{N, K, left, right, rn_matrix_of_reals(pooled, K)},
                                      {K, N, right, left, rn_matrix_of_reals(pooled + SIZE, N)}};
    memset(pooled, 0, 2 * SIZE * sizeof *pooled);
    rn_threads_start(threads[i]);
    rn_matmul_tn_all(ROWS, products, 2, 1);
    CHECK(memcmp(alone, pooled, 2 * SIZE * sizeof *pooled) == 0);
  }
  free(alone);
  free(pooled);
  free(dy);
  free(x);
}

int main(void) {
  threads_find_work();
  pooled_sums_keep_their_order();
  return check_result();
}
