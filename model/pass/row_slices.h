/**
 * Splits rows into parts, for gradients of vectors, each of which is a sum over rows. One task
 * computes the sum over one part. The parts do not depend on the number of threads, so the bits of
 * the sums do not either.
 */
#ifndef RN_MODEL_PASS_ROW_SLICES_H
#define RN_MODEL_PASS_ROW_SLICES_H

#include "model/pass/rows.h"

/** RN_ROW_SLICES: maximum number of parts that are summed at the same time. RN_ROW_SLICES_MIN_ROWS:
 * minimum number of rows of a part that is not a reduction block (rows.h). */
enum { RN_ROW_SLICES = 64, RN_ROW_SLICES_MIN_ROWS = 32 };

/** The parts: the reduction blocks, or if there are none, up to RN_ROW_SLICES parts of equal
 * size. */
typedef struct rn_row_slices {
  rn_rows rows;
  int64_t count, each; /* number of parts; rows per part if there are no reduction blocks */
} rn_row_slices;

/** Returns the parts into which `rows` are split. */
static inline rn_row_slices rn_row_slices_of(rn_rows rows) {
  const int64_t even = (rows.count + RN_ROW_SLICES - 1) / RN_ROW_SLICES;
  const int64_t each = even > RN_ROW_SLICES_MIN_ROWS ? even : RN_ROW_SLICES_MIN_ROWS;
  if (rows.reduction_block > 0) return (rn_row_slices){rows, rn_rows_parts(rows), 0};
  return (rn_row_slices){rows, (rows.count + each - 1) / each, each};
}

/** Returns the rows of part `index`. */
static inline rn_range rn_row_slice_at(rn_row_slices parts, int64_t index) {
  if (parts.rows.reduction_block > 0) return rn_rows_part(parts.rows, index);
  const int64_t begin = index * parts.each;
  return (rn_range){begin, rn_smaller(begin + parts.each, parts.rows.count)};
}

/** Returns how many of `count` parts are summed before the sum is added to the gradient: 1 with
 * reduction blocks, whose sums are added to the gradient one by one; otherwise all. */
static inline int64_t rn_row_slices_together(rn_row_slices parts, int64_t count) {
  return parts.rows.reduction_block > 0 ? 1 : count;
}

#endif
