/**
 * Computes gradients of vectors that are sums over rows: the weight and bias of a norm, the weight
 * of the head norm.
 *
 *   gradient[offset ...] += sum over rows of a vector [width]
 *
 * Sums are computed in double, first within each part of the rows (row_slices.h), then over the
 * parts in order. The parts depend only on the number of rows, so the bits are the same for any
 * number of threads.
 */
#ifndef RN_MODEL_OPS_ROW_SUMS_H
#define RN_MODEL_OPS_ROW_SUMS_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/ops/grad_accumulator.h"
#include "model/pass/rows.h"

enum { RN_ROW_SUMS_VECTORS = 2 };

/** The vectors to sum. Plain data; pointers are not owned. */
typedef struct rn_row_sums {
  int vectors, width;
  int64_t offset[RN_ROW_SUMS_VECTORS]; /* parameter offset of each vector */
  double *scratch;                     /* rn_row_sums_bytes(vectors, width) */
  const void *self;
  /** Adds the contributions of the given rows to sums [vectors, width], on the calling thread. */
  void (*add_part)(const void *self, rn_range rows, double *sums);
} rn_row_sums;

/** Returns the size in bytes of `scratch`. */
size_t rn_row_sums_bytes(int vectors, int width);

/** Sums over all rows with all threads, and adds the sums to the gradient. */
void rn_row_sums_accumulate(const rn_row_sums *sums, rn_rows rows,
                            rn_grad_accumulator *accumulator);

#endif
