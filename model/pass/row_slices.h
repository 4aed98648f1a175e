/**
 * The parts of the rows whose contributions to a vector are summed separately: one task each. The
 * parts depend on the rows only, so sums over the parts have the same bits for any number of
 * threads.
 */
#ifndef RN_MODEL_PASS_ROW_SLICES_H
#define RN_MODEL_PASS_ROW_SLICES_H

#include "model/pass/rows.h"

/** Maximal number of parts that are summed at the same time, and minimal number of rows of a part
 * that is not a reduction block. */
enum { RN_ROW_SLICES = 64, RN_ROW_SLICES_MIN_ROWS = 32 };

/** The reduction blocks, or up to RN_ROW_SLICES parts if there are none. */
typedef struct rn_row_slices {
  rn_rows rows;
  int64_t count, each; /* number of parts; rows per part if there are no reduction blocks */
} rn_row_slices;

/** Returns the parts of the rows. */
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

/** Returns the number of parts whose sums are added before they are accumulated: each reduction
 * block is accumulated separately. */
static inline int64_t rn_row_slices_together(rn_row_slices parts, int64_t count) {
  return parts.rows.reduction_block > 0 ? 1 : count;
}

#endif
