#include "model/attention/attention_block.h"

#include <math.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "model/attention/attention_progress.h"
#include "model/base/threads.h"
#include "model/kernel/gemm.h"
#include "model/kernel/kernels.h"
#include "model/ops/load_row.h"
#include "proto/base/arena.h"

/*
 * Returns the number of elements of a thread's scratch memory. It suffices for each type of
 * operands (rn_real or bf16) and each way to multiply them (kernels or GEMM backend).
 *
 * In rn_real, and with pair kernels, forward stores scores and P of a group of queries, the
 * transposed q and o of a block of queries, the values of a block of keys, and rows of a group.
 * In rn_real, backward stores P and dS, transposed keys and values, and rows of keys, queries and
 * d_o.
 * With pair kernels, backward stores the same in bf16, and scores and dP of a group in rn_real.
 * With the GEMM backend in bf16, forward stores scores, P and o of a block of queries.
 * With the GEMM backend in bf16, backward stores P and dS in both types.
 */
static int64_t scratch_elements(const rn_attention *a) {
  const int64_t scores = (int64_t)RN_ATTENTION_QUERIES * RN_ATTENTION_KEYS;
  const int64_t rows = 2 * RN_ATTENTION_QUERIES + 3 * RN_ATTENTION_KEYS;
  return 3 * scores + rows * a->width;
}

static size_t progress_count(const rn_attention *a) {
  const int blocks = (a->max_keys + RN_ATTENTION_KEYS - 1) / RN_ATTENTION_KEYS;
  return (size_t)a->max_sequences * (size_t)a->kv_heads * (size_t)blocks;
}

rn_attention rn_attention_shape(const rn_spec *spec, int max_sequences, int max_keys) {
  return (rn_attention){.heads = spec->attention_heads,
                        .kv_heads = spec->kv_heads,
                        .width = rn_spec_attention_width(spec),
                        .window = spec->attention_window,
                        .max_sequences = max_sequences,
                        .max_keys = max_keys,
                        .threads = rn_threads()};
}

size_t rn_attention_bytes(const rn_attention *a) {
  return (size_t)a->threads * (size_t)scratch_elements(a) * sizeof(rn_real) +
         progress_count(a) * sizeof *a->progress;
}

rn_status rn_attention_create(rn_err *err, const rn_attention *shape, rn_attention *out) {
  *out = *shape;
  out->scratch = NULL;
  out->progress = NULL;
  rn_status status =
      rn_alloc(err, "attention", (size_t)out->threads * (size_t)scratch_elements(out),
               sizeof *out->scratch, &out->scratch);
  if (status == RN_OK) {
    status = rn_alloc(err, "attention", progress_count(out), sizeof *out->progress, &out->progress);
  }
  if (status != RN_OK) rn_attention_destroy(out);
  return status;
}

void rn_attention_destroy(rn_attention *attention) {
  free(attention->scratch);
  free(attention->progress);
  attention->scratch = NULL;
  attention->progress = NULL;
}

rn_real *rn_attention_scratch(const rn_attention *a) {
  return a->scratch + omp_get_thread_num() * scratch_elements(a);
}

rn_real rn_attention_scale(const rn_attention *a) {
  return (rn_real)(1 / sqrt((double)a->width));
}

/* Copies `count` rows of `width` columns, beginning at element `at` of x, to `to`. */
static void load(rn_matrix x, int64_t at, int64_t count, int width, rn_real *to) {
  const rn_kernels *kernels = rn_kernels_table();
  for (int64_t i = 0; i < count; i++) {
    rn_real *row = to + i * width;
    const rn_real *from = rn_row_load(kernels, x.x, at + i * x.ld, width, row);
    if (from != row) memcpy(row, from, (size_t)width * sizeof *row);
  }
}

void rn_attention_load_queries(const rn_attention_head *h, rn_matrix x, rn_range queries,
                               rn_real *to) {
  const int K = h->a->width;
  load(x, rn_attention_query_row(h, queries.begin) * x.ld + (int64_t)h->head * K,
       rn_range_count(queries), K, to);
}

void rn_attention_load_keys(const rn_attention_head *h, rn_matrix x, rn_range keys, rn_real *to) {
  const int K = h->a->width;
  load(x, rn_attention_key_row(h, keys.begin) * x.ld + (int64_t)h->kv_head * K,
       rn_range_count(keys), K, to);
}

/* Transposes BLOCK rows at a time, which stay in the first-level cache while their columns are
 * read. */
void rn_attention_transpose(int rows, int cols, const rn_real *x, rn_real *to, int ld) {
  enum { BLOCK = 16 };
  for (int row = 0; row < rows; row += BLOCK) {
    const int end = row + BLOCK < rows ? row + BLOCK : rows;
    for (int col = 0; col < cols; col++) {
      for (int i = row; i < end; i++) to[col * ld + i] = x[i * cols + col];
    }
  }
}

bool rn_attention_multiplies_pairs(void) {
  return rn_kernels_table()->fast_pairs && !rn_gemm_backend_in_use()->bf16_by_tiles;
}

void rn_attention_transpose_pairs(int rows, int pairs, rn_array x, int64_t ldx, rn_bf16_pair *to,
                                  int ld) {
  const rn_bf16 *from = rn_array_bf16s(x);
  for (int col = 0; col < pairs; col++) {
    for (int i = 0; i < rows; i++) memcpy(&to[col * ld + i], &from[i * ldx + 2 * col], sizeof *to);
  }
}

void rn_attention_pair_rows(int rows, int cols, rn_array x, int64_t ldx, rn_bf16_pair *to) {
  const rn_bf16 *first = rn_array_bf16s(x);
  int row = 0;
  for (; row + 2 <= rows; row += 2, first += 2 * ldx, to += cols) {
    for (int e = 0; e < cols; e += 32) {
      __builtin_prefetch(first + 8 * ldx + e);
      __builtin_prefetch(first + 9 * ldx + e);
    }
    rn_kernels_table()->pair_bf16(cols, first, first + ldx, to);
  }
  for (int e = 0; row < rows && e < cols; e++) to[e] = first[e];
}

void rn_attention_store(const rn_attention_head *h, rn_range queries, const rn_softmax_rows *rows,
                        rn_matrix o, rn_real *lse) {
  const int K = h->a->width;
  for (int64_t n = queries.begin; n < queries.end; n++) {
    const int64_t i = n - queries.begin, row = rn_attention_query_row(h, n);
    const rn_real inverse = 1 / rows->sum[i];
    for (int e = 0; e < K; e++) rows->o[i * K + e] *= inverse;
    rn_row_put(rn_kernels_table(), o.x, row * o.ld + (int64_t)h->head * K, K, rows->o + i * K);
    lse[row * h->a->heads + h->head] = (rn_real)((double)rows->top[i] + log((double)rows->sum[i]));
  }
}
