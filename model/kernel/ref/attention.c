/* Computes the softmax of attention, for a block of queries and keys or for one query. */
#include <math.h>
#include <string.h>

#include "model/kernel/exp.h"
#include "model/kernel/ref/lanes.h"
#include "model/kernel/ref/set.h"

/* ---- a block of queries and keys ---- */

/* Computes top[n] = the largest of top[n] and of the scaled scores of column n; ignores NaN. */
static void raise_tops(const rn_score_block *b, rn_real *top) {
  const rn_real scale = b->scale;
  for (int m = 0; m < b->keys; m++) {
    const rn_real *s = b->s + m * b->ld;
#pragma omp simd
    for (int n = b->seen_by[m].begin; n < b->seen_by[m].end; n++) {
      const rn_real score = s[n] * scale;
      top[n] = score > top[n] ? score : top[n];
    }
  }
}

/* Replaces the scores by exponentials, and adds the exponentials of each query to sum [queries]. */
static void exponentials(const rn_score_block *b, const rn_real *top, rn_real *sum) {
  const rn_real scale = b->scale;
  for (int m = 0; m < b->keys; m++) {
    rn_real *s = b->s + m * b->ld;
    const int begin = b->seen_by[m].begin, end = b->seen_by[m].end;
    memset(s, 0, (size_t)begin * sizeof *s);
#pragma omp simd
    for (int n = begin; n < end; n++) {
      s[n] = rn_exp(s[n] * scale - top[n]);
      sum[n] += s[n];
    }
    memset(s + end, 0, (size_t)(b->queries - end) * sizeof *s);
  }
}

/* If a query has seen no key yet, its maximum stays -INFINITY, and none of its exponentials is
 * computed. */
static void softmax_block(const rn_score_block *b, rn_real *top, rn_real *sum, rn_real *fade) {
  rn_real of_block[RN_SCORE_QUERIES] = {0};
  memcpy(fade, top, (size_t)b->queries * sizeof *fade);
  raise_tops(b, top);
  exponentials(b, top, of_block);
  for (int n = 0; n < b->queries; n++) {
    fade[n] = fade[n] == -(rn_real)INFINITY ? 0 : rn_exp(fade[n] - top[n]);
    sum[n] = sum[n] * fade[n] + of_block[n];
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

static void softmax_backward(int n, rn_real scale, rn_real lse, rn_real delta, rn_real *s,
                             rn_real *dp) {
#pragma omp simd
  for (int i = 0; i < n; i++) {
    s[i] = rn_exp(s[i] * scale - lse);
    dp[i] = s[i] * (dp[i] - delta) * scale;
  }
}

void RN_SET(rn_enter_attention)(rn_kernels *table) {
  table->softmax_add = softmax_add;
  table->softmax_round = softmax_round;
  table->softmax_block = softmax_block;
  table->softmax_backward = softmax_backward;
}
