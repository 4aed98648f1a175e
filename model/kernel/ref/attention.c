/* Computes the softmax of attention, for a block of queries and keys or for one query. */
#include <math.h>
#include <string.h>

#include "model/kernel/exp.h"
#include "model/kernel/ref/lanes.h"
#include "model/kernel/ref/pairs.h"
#include "model/kernel/ref/set.h"
#include "model/kernel/ref/vec_exp.h"

/* ---- a block of queries and keys ---- */

#ifdef RN_REAL_F64
typedef int64_t lane_index;
#else
typedef int32_t lane_index;
#endif
typedef lane_index vec_mask __attribute__((vector_size(RN_VEC_BYTES)));

/* Element l of x belongs to column col + l. Replaces elements whose column is not in `seen` by
 * `unseen`. */
static inline void keep_seen(rn_columns seen, int col, rn_real unseen, rn_vec *x) {
  if (seen.begin <= col && seen.end >= col + RN_VEC) return;
  vec_mask lane;
  for (int l = 0; l < RN_VEC; l++) lane[l] = col + l;
  const vec_mask sees = (lane >= seen.begin) & (lane < seen.end);
  const rn_vec otherwise = unseen - (rn_vec){0};
  *x = (rn_vec)(((vec_mask)*x & sees) | ((vec_mask)otherwise & ~sees));
}

/* Returns the largest score of each query, not scaled; ignores NaN. */
static inline rn_vec largest_scores(const rn_score_block *b, int query) {
  rn_vec largest = -(rn_real)INFINITY - (rn_vec){0};
  for (int m = 0; m < b->keys; m++) {
    rn_vec s = rn_vec_load(b->s + m * b->ld + query);
    keep_seen(b->seen_by[m], query, -(rn_real)INFINITY, &s);
    rn_vec_raise(&s, &largest);
  }
  return largest;
}

/* Returns the exponentials of key m, and adds them to sum. */
static inline rn_vec exponentials(const rn_score_block *b, int m, int query, const rn_vec *top,
                                  rn_vec *sum) {
  const rn_vec scale = b->scale - (rn_vec){0}, s = rn_vec_load(b->s + m * b->ld + query);
  rn_vec x = -*top;
  rn_vec_fma(&s, &scale, &x);
  x = rn_vec_exp(&x);
  keep_seen(b->seen_by[m], query, 0, &x);
  *sum += x;
  return x;
}

/* Computes the exponentials of all keys, in place; returns their sums. */
static inline rn_vec replace_scores(const rn_score_block *b, int query, const rn_vec *top) {
  rn_vec sum = {0};
  for (int m = 0; m < b->keys; m++) {
    const rn_vec x = exponentials(b, m, query, top, &sum);
    memcpy(b->s + m * b->ld + query, &x, sizeof x);
  }
  return sum;
}

#ifndef RN_REAL_F64
/* Computes the exponentials of all keys, and stores them as pairs of keys; returns their sums. */
static inline rn_vec store_pairs(const rn_score_block *b, int query, const rn_vec *top) {
  rn_vec sum = {0};
  for (int m = 0; m < b->keys; m += 2) {
    const rn_vec first = exponentials(b, m, query, top, &sum);
    rn_vec second = {0};
    if (m + 1 < b->keys) second = exponentials(b, m + 1, query, top, &sum);
    const rn_vec_rows rows = rn_vec_round_rows(&first, &second);
    const rn_vec_pairs pairs = rn_vec_pair_rows(&rows);
    memcpy(b->pairs + m / 2 * b->ld + query, &pairs, sizeof pairs);
  }
  return sum;
}
#endif

/* If a query has seen no key yet, its maximum stays -INFINITY, and its exponentials are 0. */
static void softmax_block(const rn_score_block *b, rn_real *top, rn_real *sum, rn_real *fade) {
  for (int query = 0; query < b->queries; query += RN_VEC) {
    const rn_vec before = rn_vec_load(top + query), before_sum = rn_vec_load(sum + query);
    const rn_vec largest = largest_scores(b, query) * b->scale;
    rn_vec after = before, of_block;
    rn_vec_raise(&largest, &after);
#ifndef RN_REAL_F64
    if (b->pairs != NULL) {
      of_block = store_pairs(b, query, &after);
    } else
#endif
    {
      of_block = replace_scores(b, query, &after);
    }
    for (int l = 0; l < RN_VEC; l++) {
      fade[query + l] = before[l] == -(rn_real)INFINITY ? 0 : rn_exp(before[l] - after[l]);
      sum[query + l] = before_sum[l] * fade[query + l] + of_block[l];
    }
    memcpy(top + query, &after, sizeof after);
  }
}

static void scale_columns(int rows, int cols, const rn_real *scale, rn_real *x, int64_t ld) {
  for (int row = 0; row < rows; row++) {
#pragma omp simd
    for (int col = 0; col < cols; col++) x[row * ld + col] *= scale[col];
  }
}

/* ---- one query ---- */

static rn_real softmax_add(int n, rn_real *s, rn_real *top, rn_real *sum) {
  const rn_real before = *top, largest = rn_row_largest(n, s);
  const rn_real after = largest > before ? largest : before;
  const rn_real fade = before == -(rn_real)INFINITY ? 0 : rn_exp(before - after);
#pragma omp simd
  for (int i = 0; i < n; i++) s[i] = rn_exp(s[i] - after);
  *sum = *sum * fade + (rn_real)rn_row_sum(n, s);
  *top = after;
  return fade;
}

static rn_real softmax_round(int n, rn_real scale, rn_real *s, rn_real *top, rn_real *sum,
                             rn_bf16 *p) {
  const rn_real before = *top, largest = rn_row_largest(n, s) * scale;
  const rn_real after = largest > before ? largest : before;
  const rn_real fade = before == -(rn_real)INFINITY ? 0 : rn_exp(before - after);
#pragma omp simd
  for (int i = 0; i < n; i++) s[i] = rn_exp(s[i] * scale - after);
#pragma omp simd
  for (int i = 0; i < n; i++) p[i] = rn_bf16_of(s[i]);
  *sum = *sum * fade + (rn_real)rn_row_sum(n, s);
  *top = after;
  return fade;
}

/* Replaces scores by P, and dP by dS. */
static inline void probabilities(rn_real scale, rn_real lse, rn_real delta, rn_vec *s, rn_vec *dp) {
  const rn_vec factor = scale - (rn_vec){0};
  rn_vec x = -lse - (rn_vec){0};
  rn_vec_fma(s, &factor, &x);
  *s = rn_vec_exp(&x);
  *dp = *s * (*dp - delta) * scale;
}

static void softmax_backward(int n, rn_real scale, rn_real lse, rn_real delta, rn_real *s,
                             rn_real *dp) {
  int i = 0;
  for (; i + RN_VEC <= n; i += RN_VEC) {
    rn_vec x = rn_vec_load(s + i), y = rn_vec_load(dp + i);
    probabilities(scale, lse, delta, &x, &y);
    memcpy(s + i, &x, sizeof x);
    memcpy(dp + i, &y, sizeof y);
  }
  if (i == n) return;
  const size_t bytes = (size_t)(n - i) * sizeof *s;
  rn_vec x = {0}, y = {0};
  memcpy(&x, s + i, bytes);
  memcpy(&y, dp + i, bytes);
  probabilities(scale, lse, delta, &x, &y);
  memcpy(s + i, &x, bytes);
  memcpy(dp + i, &y, bytes);
}

#ifndef RN_REAL_F64
static void softmax_backward_pair(const rn_softmax_pair *b) {
  for (int key = 0; key < b->keys; key += RN_VEC) {
    rn_vec p[2], ds[2];
    for (int i = 0; i < 2; i++) {
      p[i] = rn_vec_load(b->s[i] + key);
      ds[i] = rn_vec_load(b->dp[i] + key);
      probabilities(b->scale, b->lse[i], b->delta[i], &p[i], &ds[i]);
      keep_seen(b->seen[i], key, 0, &p[i]);
      keep_seen(b->seen[i], key, 0, &ds[i]);
    }
    const rn_vec_rows p_rows = rn_vec_round_rows(&p[0], &p[1]);
    const rn_vec_rows ds_rows = rn_vec_round_rows(&ds[0], &ds[1]);
    const rn_vec_pairs p_pairs = rn_vec_pair_rows(&p_rows), ds_pairs = rn_vec_pair_rows(&ds_rows);
    memcpy(b->p + key, &p_pairs, sizeof p_pairs);
    memcpy(b->ds + key, &ds_pairs, sizeof ds_pairs);
    for (int i = 0; i < 2; i++) memcpy(b->ds_rows[i] + key, ds_rows.row[i], sizeof ds_rows.row[i]);
  }
}
#endif

void RN_SET(rn_enter_attention)(rn_kernels *table) {
  table->softmax_add = softmax_add;
  table->softmax_round = softmax_round;
  table->softmax_block = softmax_block;
  table->scale_columns = scale_columns;
  table->softmax_backward = softmax_backward;
#ifndef RN_REAL_F64
  table->softmax_backward_pair = softmax_backward_pair;
#endif
}
