/**
 * Where weight gradients go: fp32 sums for now over the flat parameters of a stage.
 *
 * Layers never write a gradient themselves: they hand products dW += dY^T X, vectors and rows to
 * the sink, which decides how they are summed (exact sums of leaves fit in here without touching
 * layers).
 */
#ifndef RN_MODEL_SINK_H
#define RN_MODEL_SINK_H

#include <stdint.h>

#include "model/names.h"
#include "proto/real.h"

typedef struct rn_sink {
  rn_real *gradient; /* [total], as the flat parameters; not owned */
  int64_t total;
} rn_sink;

/** Starts a step: the gradient is zero. */
void rn_sink_start(rn_sink *sink);

/** gradient[offset ...] as [N, K] += dy [R, N]^T x [R, K]: a matrix's gradient of a unit. */
void rn_sink_product(rn_sink *sink, int64_t offset, int n, int k, int64_t rows, const rn_real *dy,
                     int64_t lddy, const rn_real *x, int64_t ldx);

/** gradient[offset ...] += values [n]: a vector's gradient of a unit. */
void rn_sink_vector(rn_sink *sink, int64_t offset, int64_t n, const rn_real *values);

#endif
