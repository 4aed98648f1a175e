/* Computes the products of a decoder's step. Each thread computes a range of their columns. */
#include "model/decode/decode_step.h"

#include <omp.h>
#include <string.h>

#include "proto/base/range.h"

rn_range rn_decode_own_columns(rn_weight w) {
  enum { LINE = 64 / sizeof(rn_real) };
  const rn_range lines =
      rn_cut((w.n + LINE - 1) / LINE, omp_get_num_threads(), omp_get_thread_num());
  const int64_t begin = lines.begin * LINE, end = lines.end * LINE;
  return (rn_range){begin < w.n ? begin : w.n, end < w.n ? end : w.n};
}

static rn_array own_weights(const rn_decode_step *s, rn_weight w) {
  return rn_array_of_weights(s->d->bf16_weights, s->params,
                             w.offset + rn_decode_own_columns(w).begin * w.k);
}

/* Does the same as rn_decode_project, but computes y = x w^T + beta y. */
static void project(const rn_decode_step *s, rn_weight w, const rn_real *x, rn_real beta,
                    rn_real *y, int64_t ldy) {
  const rn_range own = rn_decode_own_columns(w);
  s->kernels->skinny_gemm(s->count, (int)rn_range_count(own), w.k, x, w.k, own_weights(s, w), w.k,
                          beta, y + own.begin, ldy);
}

void rn_decode_project(const rn_decode_step *s, rn_weight w, const rn_real *x, rn_real *y,
                       int64_t ldy) {
  project(s, w, x, 0, y, ldy);
}

void rn_decode_barrier_before(const rn_decode_step *s, rn_weight w) {
  const rn_array own = own_weights(s, w);
  rn_thread_barrier_wait(
      &s->d->barrier, own.at,
      (size_t)(rn_range_count(rn_decode_own_columns(w)) * w.k) * rn_element_bytes(own.bf16));
}

void rn_decode_add_to_stream(const rn_decode_step *s, rn_weight w, const rn_real *x) {
  const rn_decoder *d = s->d;
  const int D = d->spec.dim;
  const rn_range own = rn_decode_own_columns(w);
  for (int r = 0; !d->spec.pre_norm && s->in == s->normed && r < s->count; r++) {
    const int64_t at = (int64_t)r * D + own.begin;
    memcpy(d->stream + at, s->in + at, (size_t)rn_range_count(own) * sizeof *x);
  }
  project(s, w, x, (rn_real)rn_spec_residual(&d->spec), d->stream, D);
}
