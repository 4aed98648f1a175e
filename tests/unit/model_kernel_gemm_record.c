/* Checks that a record contains all products computed during the recording, and that recording does
 * not change them. Its replay must compute the same products in separate memory, with the same
 * relative operand addresses. */
#include "model/kernel/gemm_record.h"

#include <stdlib.h>
#include <string.h>

#include "model/base/threads.h"
#include "model/kernel/gemm_replay.h"
#include "model/ops/matmul.h"
#include "tests/support/gradient.h"

enum { ROWS = 300, WIDTH = 520, INNER = 70, LONG = 32 };

/* x [ROWS, INNER], y = x w^T [ROWS, WIDTH], dx = y w, dw = y^T x; `exact` is x w^T over the
 * first LONG columns, accumulated in fp64. */
typedef struct arrays {
  rn_real x[ROWS * INNER], w[WIDTH * INNER], y[ROWS * WIDTH], dx[ROWS * INNER], dw[WIDTH * INNER];
  rn_real exact[ROWS * WIDTH];
} arrays;

static void work(arrays *a) {
  const rn_rows rows = rn_rows_together(ROWS);
  const rn_array x = rn_reals(a->x), w = rn_reals(a->w), y = rn_reals(a->y);
  test_fill(a->x, ROWS * INNER, 1, 1);
  test_fill(a->w, WIDTH * INNER, 1, 2);
  memset(a->dw, 0, sizeof a->dw);
  rn_matmul_nt(rows, WIDTH, INNER, x, INNER, w, INNER, 0, y, WIDTH);
  rn_matmul_nn(rows, INNER, WIDTH, y, WIDTH, w, INNER, 0, rn_reals(a->dx), INNER);
  rn_matmul_tn(ROWS, WIDTH, INNER, y, WIDTH, x, INNER, 1, rn_reals(a->dw), INNER);
  rn_tile_nt_fp64_accumulate(
      &(rn_step_tile){.rows = {0, ROWS}, .cols = {0, WIDTH}},
      &(rn_tile_product){
          .sum = LONG, .x = {x, INNER}, .w = {w, INNER}, .y = rn_matrix_of_reals(a->exact, WIDTH)});
}

/* Checks that each of the four products is complete: the sum of 2 m n k over its calls is right. */
static void every_product_is_recorded(const rn_gemm_record *record) {
  const double whole = 2.0 * ROWS * WIDTH;
  double of_kind[RN_GEMM_NT_FP64_ACCUMULATE + 1] = {0};
  for (int64_t i = 0; i < record->count; i++) {
    const rn_recorded_gemm *p = &record->call[i];
    of_kind[p->kind] += 2.0 * p->m * p->n * p->k;
    CHECK(p->thread >= 0 && p->thread < 2);
  }
  CHECK_NEAR(of_kind[RN_GEMM_NT], whole * INNER, 0);
  CHECK_NEAR(of_kind[RN_GEMM_NN], whole * INNER, 0);
  CHECK_NEAR(of_kind[RN_GEMM_TN], whole * INNER, 0);
  CHECK_NEAR(of_kind[RN_GEMM_NT_FP64_ACCUMULATE], whole * LONG, 0);
  CHECK_NEAR(record->flops, whole * (3 * INNER + LONG), 0);
}

/* Returns the smallest address among the first operands `a`. This is the beginning of x, which is
 * the first array. */
static const rn_real *min_a(const rn_recorded_gemm *product, int64_t count) {
  const rn_real *min = rn_array_reals(product[0].a);
  for (int64_t i = 1; i < count; i++) {
    const rn_real *a = rn_array_reals(product[i].a);
    min = a < min ? a : min;
  }
  return min;
}

static bool lies_alike(rn_array x, const rn_real *begin, rn_array y, const rn_real *other_begin) {
  return rn_array_reals(x) - begin == rn_array_reals(y) - other_begin;
}

/* Returns the number of products in `all` that equal `p` and have their operands at the same
 * offsets from the beginning of the arrays. */
static int times_found(const rn_recorded_gemm *all, int64_t count, const rn_recorded_gemm *p,
                       const rn_real *begin) {
  const rn_real *moved = min_a(all, count);
  int found = 0;
  for (int64_t i = 0; i < count; i++) {
    const rn_recorded_gemm *r = &all[i];
    found += r->kind == p->kind && r->m == p->m && r->n == p->n && r->k == p->k &&
             r->beta == p->beta && r->lda == p->lda && r->ldb == p->ldb && r->ldc == p->ldc &&
             lies_alike(r->a, moved, p->a, begin) && lies_alike(r->b, moved, p->b, begin) &&
             lies_alike(r->c, moved, p->c, begin);
  }
  return found;
}

static void replay_makes_the_same(const rn_gemm_record *record, const arrays *live) {
  rn_err err = {0};
  rn_gemm_replay replay = {0};
  arrays *before = malloc(sizeof *before);
  memcpy(before, live, sizeof *before);
  CHECK_OK(&err, rn_gemm_replay_create(&err, record, &replay));
  CHECK_EQUAL(replay.first[0], 0);
  CHECK_EQUAL(replay.first[replay.groups], record->count);
  for (int64_t i = 0; i < record->count; i++) {
    CHECK_EQUAL(times_found(replay.call, record->count, &record->call[i], live->x), 1);
  }
  rn_gemm_replay_run(&replay);
  CHECK(memcmp(before, live, sizeof *before) == 0);
  rn_gemm_replay_destroy(&replay);
  free(before);
}

int main(void) {
  rn_err err = {0};
  rn_gemm_record record = {0};
  arrays *plain = calloc(1, sizeof *plain), *recorded = calloc(1, sizeof *recorded);
  rn_threads_start(2);
  const rn_gemm_backend *table = rn_gemm_backend_in_use();
  work(plain);
  CHECK_EQUAL(record.count, 0);
  rn_gemm_record_start(&record);
  work(recorded);
  CHECK_OK(&err, rn_gemm_record_stop(&err, &record));
  CHECK(rn_gemm_backend_in_use() == table);
  CHECK(memcmp(plain, recorded, sizeof *plain) == 0);
  every_product_is_recorded(&record);
  const int64_t count = record.count;
  work(plain);
  CHECK_EQUAL(record.count, count);
  replay_makes_the_same(&record, recorded);
  rn_gemm_record_destroy(&record);
  free(plain);
  free(recorded);
  return check_result();
}
