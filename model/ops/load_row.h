/**
 * Gives access to rows of arrays in rn_real or bf16, for computation in rn_real.
 *
 *   rn_real *row = rn_row_load(kernels, x, at, n, scratch);   the row, or a copy in scratch [n]
 *   ... work on row [n] ...
 *   rn_row_store(kernels, x, at, n, row);                  if the row was changed
 */
#ifndef RN_MODEL_OPS_LOAD_ROW_H
#define RN_MODEL_OPS_LOAD_ROW_H

#include "model/base/array.h"
#include "model/kernel/kernels.h"

/** Returns a row as rn_real: the row itself, or a copy widened from bf16 into scratch. */
static inline rn_real *rn_row_load(const rn_kernels *kernels, rn_array x, int64_t at, int64_t n,
                                   rn_real *scratch) {
  if (!x.bf16) return rn_array_reals(x) + at;
  kernels->widen_bf16(n, rn_array_bf16s(x) + at, scratch);
  return scratch;
}

/** Returns the memory in which to compute a row whose old contents are not needed: the row itself,
 * or scratch for an array of bf16. */
static inline rn_real *rn_row_buffer(rn_array x, int64_t at, rn_real *scratch) {
  return x.bf16 ? scratch : rn_array_reals(x) + at;
}

/** Stores a row returned by rn_row_load or rn_row_buffer; does nothing if it is in place. */
static inline void rn_row_store(const rn_kernels *kernels, rn_array x, int64_t at, int64_t n,
                                const rn_real *row) {
  if (x.bf16) kernels->round_bf16(n, row, rn_array_bf16s(x) + at);
}

/** Copies a row of rn_real into an array of either type. */
static inline void rn_row_put(const rn_kernels *kernels, rn_array x, int64_t at, int64_t n,
                              const rn_real *row) {
  if (x.bf16) {
    kernels->round_bf16(n, row, rn_array_bf16s(x) + at);
  } else {
    memcpy(rn_array_reals(x) + at, row, (size_t)n * sizeof *row);
  }
}

#endif
