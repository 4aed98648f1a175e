/* Computes the recurrence of one head for one token; reads and writes the state once. */
#include <stddef.h>
#include <string.h>

#include "model/kernel/ref/set.h"

/* Number of rows of a state that are added to o in one pass. */
enum { ROWS = 4 };

static void recur_rows(int rows, int V, rn_real decay, const rn_real *q, const rn_real *k,
                       const rn_real *restrict v, rn_real *restrict state, rn_real *restrict o) {
  for (int d = 0; d < rows; d++) {
    rn_real *row = state + (int64_t)d * V;
#pragma omp simd
    for (int e = 0; e < V; e++) {
      row[e] = decay * row[e] + k[d] * v[e];
      o[e] += q[d] * row[e];
    }
  }
}

/* Updates columns from .. to-1 of four rows of a state, and adds the rows to o in order. */
static void recur_four_rows(int V, int from, int to, rn_real decay, const rn_real *q,
                            const rn_real *k, const rn_real *restrict v, rn_real *restrict state,
                            rn_real *restrict o) {
  rn_real *s0 = state, *s1 = s0 + V, *s2 = s1 + V, *s3 = s2 + V;
#pragma omp simd
  for (int e = from; e < to; e++) {
    s0[e] = decay * s0[e] + k[0] * v[e];
    s1[e] = decay * s1[e] + k[1] * v[e];
    s2[e] = decay * s2[e] + k[2] * v[e];
    s3[e] = decay * s3[e] + k[3] * v[e];
    o[e] = o[e] + q[0] * s0[e] + q[1] * s1[e] + q[2] * s2[e] + q[3] * s3[e];
  }
}

/* The hardware prefetcher does not recognize accesses to four rows in parallel, so the code
 * prefetches the rows in memory order. */
enum { LINE = 64 / sizeof(rn_real), BLOCK = 2 * LINE, AHEAD = 8192 / sizeof(rn_real) };

static void recur_blocks(int V, rn_real decay, const rn_real *q, const rn_real *k, const rn_real *v,
                         rn_real *state, rn_real *o) {
  int from = 0;
  for (; from + BLOCK <= V; from += BLOCK) {
    for (int i = 0; i < ROWS * BLOCK; i += LINE) {
      __builtin_prefetch(state + AHEAD + ROWS * from + i, 1);
    }
    recur_four_rows(V, from, from + BLOCK, decay, q, k, v, state, o);
  }
  recur_four_rows(V, from, V, decay, q, k, v, state, o);
}

static void recur_state_alone(int K, int V, rn_real decay, const rn_real *k,
                              const rn_real *restrict v, rn_real *restrict state) {
  for (int d = 0; d < K; d++, state += V) {
#pragma omp simd
    for (int e = 0; e < V; e++) state[e] = decay * state[e] + k[d] * v[e];
  }
}

static void recur(int key_width, int value_width, rn_real decay, const rn_real *q, const rn_real *k,
                  const rn_real *v, rn_real *state, rn_real *o) {
  const int V = value_width;
  if (o == NULL) {
    recur_state_alone(key_width, V, decay, k, v, state);
    return;
  }
  memset(o, 0, (size_t)V * sizeof *o);
  int d = 0;
  for (; d + ROWS <= key_width; d += ROWS) {
    recur_blocks(V, decay, q + d, k + d, v, state + (int64_t)d * V, o);
  }
  recur_rows(key_width - d, V, decay, q + d, k + d, v, state + (int64_t)d * V, o);
}

void RN_SET(rn_enter_recurrence)(rn_kernels *table) {
  table->recur = recur;
}
