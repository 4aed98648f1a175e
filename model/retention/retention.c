/* Defines the decay tables of rn_retention, and functions that all forms share: decays of segments,
 * and row scales that do not depend on sums of |weights|. */
#include "model/retention/retention.h"

#include <assert.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "model/kernel/gemm.h"
#include "proto/base/arena.h"
#include "proto/base/range.h"
#include "proto/base/span.h"

static void fill_tables(const rn_retention *r) {
  for (int h = 0; h < r->heads; h++) {
    rn_real *power = r->power + (int64_t)h * (r->max_tokens + 1);
    for (int i = 0; i <= r->max_tokens; i++) power[i] = (rn_real)exp(r->log_gamma[h] * i);
    rn_real *one = r->decay + (int64_t)(h + 1) * (r->chunk + 1) - 1;
    for (int n = 0; n <= r->chunk; n++) one[-n] = power[n];
  }
}

static int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* Returns the number of elements of a thread's work space, which is used at different times for
 * tiles of scores and their gradients, scaled rows of a chunk, rows of a head, a slab of a state,
 * and an input row in double. The number is rounded up to whole cache lines, so that no two threads
 * write to the same line. */
static int64_t work_elements(const rn_retention *r, int dim) {
  enum { LINE = 16, REALS_OF_DOUBLE = sizeof(double) / sizeof(rn_real) };
  const int64_t wide = larger(r->key_width, r->value_width), tiles = r->bf16 ? 3 : 2;
  const int64_t rows = larger(larger(r->chunk, 4) * wide, (int64_t)REALS_OF_DOUBLE * dim);
  const int64_t elements = larger(tiles * RN_CHUNK_TILE * r->chunk, larger(rows, RN_SLAB_ELEMENTS));
  return rn_round_up(elements, LINE);
}

rn_retention rn_retention_shape(const rn_spec *spec, int max_tokens) {
  const int tokens = max_tokens > 0 ? max_tokens : 1;
  const bool whole = spec->retention_scale == RN_SCALE_TS_PARALLEL;
  rn_retention shape = {.heads = spec->heads,
                        .key_width = rn_spec_key_width(spec),
                        .value_width = rn_spec_value_width(spec),
                        .chunk = whole || spec->chunk > tokens ? tokens : spec->chunk,
                        .max_tokens = tokens,
                        .tables = rn_spec_decay_varies(spec) ? spec->layers : 1,
                        .threads = omp_get_max_threads(),
                        .bf16 = rn_gemm_takes_bf16(),
                        .scale = spec->retention_scale};
  shape.work_each = work_elements(&shape, spec->dim);
  return shape;
}

size_t rn_retention_bytes(const rn_retention *r) {
  const size_t heads = (size_t)r->tables * (size_t)r->heads,
               steps = (size_t)r->max_tokens + (size_t)r->chunk + 2;
  const size_t work = (size_t)r->threads * (size_t)r->work_each;
  return heads * sizeof(double) + (heads * steps + work) * sizeof(rn_real);
}

rn_status rn_retention_create(rn_err *err, const rn_spec *spec, int max_tokens, rn_retention *out) {
  *out = rn_retention_shape(spec, max_tokens);
  out->kernels = rn_kernels_table();
  const int tokens = out->max_tokens;
  const size_t heads = (size_t)out->tables * (size_t)out->heads;
  rn_status status;
  if ((status = rn_alloc(err, "decays", heads, sizeof(double), &out->log_gamma)) != RN_OK ||
      (status = rn_alloc(err, "decay powers", heads * (size_t)(tokens + 1), sizeof(rn_real),
                         &out->power)) != RN_OK ||
      (status = rn_alloc(err, "decays of a chunk", heads * (size_t)(out->chunk + 1),
                         sizeof(rn_real), &out->decay)) != RN_OK ||
      (status = rn_alloc(err, "retention workspace", (size_t)out->threads * (size_t)out->work_each,
                         sizeof(rn_real), &out->work)) != RN_OK) {
    rn_retention_destroy(out);
    return status;
  }
  for (int table = 0; table < out->tables; table++) {
    const rn_retention layer = rn_retention_of_layer(out, table);
    rn_spec_log_decay(spec, table, layer.log_gamma);
    fill_tables(&layer);
  }
  return RN_OK;
}

rn_retention rn_retention_of_layer(const rn_retention *r, int layer) {
  rn_retention own = *r;
  const int64_t first = r->tables > 1 ? (int64_t)layer * r->heads : 0;
  assert(r->tables == 1 || layer < r->tables);
  own.log_gamma += first;
  own.power += first * (r->max_tokens + 1);
  own.decay += first * (r->chunk + 1);
  return own;
}

void rn_retention_destroy(rn_retention *r) {
  free(r->log_gamma);
  free(r->power);
  free(r->decay);
  free(r->work);
  *r = (rn_retention){0};
}

rn_real *rn_retention_scratch(const rn_retention *r) {
  assert(omp_get_thread_num() < r->threads);
  return r->work + omp_get_thread_num() * r->work_each;
}

int rn_retention_chunks(const rn_retention *r, int tokens) {
  return (tokens + r->chunk - 1) / r->chunk;
}

void rn_retention_decays(const rn_retention *r, const rn_retention_view *u, double *log_decay) {
  for (int b = 0; b < u->sequences; b++) {
    const bool reset =
        rn_retention_has_boundary(u->doc_position + (int64_t)b * u->tokens, u->tokens);
    for (int h = 0; h < r->heads; h++) {
      log_decay[b * r->heads + h] = reset ? -INFINITY : u->tokens * r->log_gamma[h];
    }
  }
}

/* Source: RetNet (arXiv 2307.08621), normalization of D. expm1 keeps the result accurate for g
 * near 1. */
double rn_retention_row_sum(const rn_retention *r, int head, int64_t n) {
  const double log_gamma = r->log_gamma[head];
  if (log_gamma == 0) return (double)(n + 1);
  return expm1((double)(n + 1) * log_gamma) / expm1(log_gamma);
}

bool rn_retention_scale_needs_weights(const rn_retention *r) {
  return r->scale == RN_SCALE_TS_CHUNKWISE || r->scale == RN_SCALE_TS_PARALLEL;
}

void rn_retention_row_scale(const rn_retention *r, const rn_retention_view *u, rn_form form,
                            rn_real *alpha) {
  const int64_t rows = (int64_t)u->sequences * u->tokens;
  const bool by_weights = r->scale == RN_SCALE_TS_PARALLEL && form == RN_FORM_PARALLEL;
#pragma omp parallel
  {
    const double begin_s = rn_span_task_begin();
#pragma omp for schedule(static) nowait
    for (int64_t row = 0; row < rows; row++) {
      for (int h = 0; h < r->heads; h++) {
        rn_real *a = alpha + row * r->heads + h;
        const double root = sqrt(rn_retention_row_sum(r, h, u->doc_position[row]));
        const double weights = by_weights ? fmin(fmax((double)*a / root, 1), 5e4) : 1;
        *a = r->scale == RN_SCALE_RAW ? (rn_real)1 : (rn_real)(1 / (root * weights));
      }
    }
    rn_span_task_end(begin_s);
  }
}
