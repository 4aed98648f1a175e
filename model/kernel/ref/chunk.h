/** Defines functions that the chunk kernels of forward and backward share. */
#ifndef RN_MODEL_KERNEL_REF_CHUNK_H
#define RN_MODEL_KERNEL_REF_CHUNK_H

#include "model/kernel/kernels.h"

/** A tile of scores: rows begin .. end-1 of a chunk, columns 0 .. end-1. */
typedef struct rn_chunk_tile {
  int begin, end;
} rn_chunk_tile;

/** Returns the tile that begins at row `begin`; the chunk's last tile may be shorter. */
static inline rn_chunk_tile rn_chunk_tile_next(const rn_chunk *c, int begin) {
  int end = begin + RN_CHUNK_TILE;
  return (rn_chunk_tile){begin, end < c->tokens ? end : c->tokens};
}

/** Multiplies columns first .. i of row i of the scores by the decay. */
static inline void rn_row_decay(const rn_chunk *c, int i, int first, rn_real *row) {
  for (int j = first; j <= i; j++) row[j] *= c->decay[j - i];
}

/** Does the same as rn_row_decay, but stores the results in `to`, rounded to bf16. */
static inline void rn_row_decay_round(const rn_chunk *c, int i, int first, const rn_real *row,
                                      rn_bf16 *to) {
#pragma omp simd
  for (int j = first; j <= i; j++) to[j] = rn_bf16_of(row[j] * c->decay[j - i]);
}

/** Computes `to` = `scores` . D for the rows of the tile. Shapes: to, scores [rows of the tile,
 * tile.end]. `to` may be `scores` itself, or an array of bf16. */
static inline void rn_chunk_tile_decay(const rn_chunk *c, rn_chunk_tile tile, rn_real *scores,
                                       rn_array to) {
  const size_t bytes = rn_element_bytes(to.bf16);
  for (int i = tile.begin; i < tile.end; i++) {
    const int64_t at = (int64_t)(i - tile.begin) * tile.end;
    const int first = c->doc_position[i] < i ? i - c->doc_position[i] : 0;
    memset(rn_array_from(to, at).at, 0, (size_t)first * bytes);
    if (to.bf16) {
      rn_row_decay_round(c, i, first, scores + at, rn_array_bf16s(to) + at);
    } else {
      rn_row_decay(c, i, first, scores + at);
    }
    memset(rn_array_from(to, at + i + 1).at, 0, (size_t)(tile.end - i - 1) * bytes);
  }
}

/** Computes to[to_at + i] = factor * from[at + i] for i = 0 .. n-1; `at` and `to_at` are element
 * offsets. */
static inline void rn_row_scaled(rn_real factor, int n, rn_array from, int64_t at, rn_array to,
                                 int64_t to_at) {
  if (from.bf16) {
    const rn_bf16 *x = rn_array_bf16s(from) + at;
    rn_bf16 *y = rn_array_bf16s(to) + to_at;
#pragma omp simd
    for (int e = 0; e < n; e++) y[e] = rn_bf16_of(factor * rn_bf16_value(x[e]));
  } else {
    const rn_real *x = rn_array_reals(from) + at;
    rn_real *y = rn_array_reals(to) + to_at;
    for (int e = 0; e < n; e++) y[e] = factor * x[e];
  }
}

/** Writes the rows xi[i] * from[i], i < lead, to `work`, without gaps between rows, in the type of
 * `from`. */
static inline rn_array rn_rows_xi(const rn_chunk *c, int width, rn_array from, int64_t ld,
                                  rn_real *work) {
  const rn_array to = {work, from.bf16};
  for (int i = 0; i < c->lead; i++) {
    rn_row_scaled(c->decay[-(i + 1)], width, from, i * ld, to, (int64_t)i * width);
  }
  return to;
}

/** Writes the rows zeta[m] * from[m], m >= last, to `work`, without gaps between rows, in the type
 * of `from`. Row m is at index m - last. */
static inline rn_array rn_rows_zeta(const rn_chunk *c, int width, rn_array from, int64_t ld,
                                    rn_real *work) {
  const rn_array to = {work, from.bf16};
  for (int m = c->last; m < c->tokens; m++) {
    rn_row_scaled(c->decay[m - (c->tokens - 1)], width, from, m * ld, to,
                  (int64_t)(m - c->last) * width);
  }
  return to;
}

#endif
