/** Small steps that the chunk kernels, forward and backward, are made of. */
#ifndef RN_MODEL_KERNEL_REF_CHUNK_H
#define RN_MODEL_KERNEL_REF_CHUNK_H

#include "model/kernel/kernels.h"

/** Rows begin .. end-1 of a chunk; their scores reach columns 0 .. end-1. */
typedef struct rn_band {
  int begin, end;
} rn_band;

static inline rn_band rn_band_next(const rn_chunk *c, int begin) {
  int end = begin + RN_CHUNK_BAND;
  return (rn_band){begin, end < c->tokens ? end : c->tokens};
}

/** scores [rows of the band, end] <- scores . D */
static inline void rn_band_decay(const rn_chunk *c, rn_band band, rn_real *scores) {
  for (int i = band.begin; i < band.end; i++) {
    rn_real *row = scores + (int64_t)(i - band.begin) * band.end;
    int first = c->since[i] < i ? i - c->since[i] : 0;
    for (int j = 0; j < first; j++) row[j] = 0;
    for (int j = first; j <= i; j++) row[j] *= c->decay[j - i];
    for (int j = i + 1; j < band.end; j++) row[j] = 0;
  }
}

/** to [i] = xi[i] from [i], i < lead; to is dense. */
static inline void rn_rows_xi(const rn_chunk *c, int width, const rn_real *from, int64_t ld,
                              rn_real *to) {
  for (int i = 0; i < c->lead; i++) {
    rn_real xi = c->decay[-(i + 1)];
    for (int e = 0; e < width; e++) to[(int64_t)i * width + e] = xi * from[i * ld + e];
  }
}

/** to [m - last] = zeta[m] from [m], m >= last; to is dense. */
static inline void rn_rows_zeta(const rn_chunk *c, int width, const rn_real *from, int64_t ld,
                                rn_real *to) {
  for (int m = c->last; m < c->tokens; m++) {
    rn_real zeta = c->decay[m - (c->tokens - 1)];
    rn_real *row = to + (int64_t)(m - c->last) * width;
    for (int e = 0; e < width; e++) row[e] = zeta * from[m * ld + e];
  }
}

#endif
