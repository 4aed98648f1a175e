#include "model/sink.h"

#include <assert.h>
#include <string.h>

#include "model/matmul.h"

void rn_sink_start(rn_sink *sink) {
  enum { PIECE = 1 << 16 };
#pragma omp parallel for schedule(static)
  for (int64_t at = 0; at < sink->total; at += PIECE) {
    int64_t count = sink->total - at < PIECE ? sink->total - at : PIECE;
    memset(sink->gradient + at, 0, (size_t)count * sizeof sink->gradient[0]);
  }
}

void rn_sink_product(rn_sink *sink, int64_t offset, int n, int k, int64_t rows, const rn_real *dy,
                     int64_t lddy, const rn_real *x, int64_t ldx) {
  assert(offset >= 0 && offset + (int64_t)n * k <= sink->total);
  rn_matmul_tn(rows, n, k, dy, lddy, x, ldx, 1, sink->gradient + offset, k);
}

void rn_sink_vector(rn_sink *sink, int64_t offset, int64_t n, const rn_real *values) {
  assert(offset >= 0 && offset + n <= sink->total);
  for (int64_t i = 0; i < n; i++) sink->gradient[offset + i] += values[i];
}
