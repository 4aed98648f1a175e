/**
 * Describes the rows of a unit, and the boundaries between rows that no product or sum may cross.
 *
 * In reproducible mode, a sequence is split into reduction blocks of a fixed number of tokens; the
 * last block may be shorter. No product or sum crosses a block boundary, so that shapes, and
 * therefore bits, do not depend on how a sequence is split over ranks. A part is a set of rows
 * within which products and sums stay: one reduction block or, in other modes, all rows.
 */
#ifndef RN_MODEL_PASS_ROWS_H
#define RN_MODEL_PASS_ROWS_H

#include "model/pass/unit.h"
#include "proto/base/range.h"

typedef struct rn_rows {
  int64_t count;
  int tokens;          /* rows per sequence; a reduction block begins at the first of them */
  int reduction_block; /* rows of a reduction block; 0: no boundaries */
} rn_rows;

/** Returns `count` rows without boundaries. */
static inline rn_rows rn_rows_together(int64_t count) {
  return (rn_rows){count, 0, 0};
}

/** Returns the rows of a unit, with the boundaries of its reduction blocks. */
static inline rn_rows rn_rows_of_unit(const rn_unit *unit) {
  return (rn_rows){(int64_t)unit->sequences * unit->tokens, unit->tokens, unit->reduction_block};
}

/** Returns the number of reduction blocks in one sequence's segment. */
static inline int64_t rn_rows_reduction_blocks_each(rn_rows rows) {
  return (rows.tokens + rows.reduction_block - 1) / rows.reduction_block;
}

/** Returns the number of parts that are processed separately: the number of reduction blocks, or
 * 1 if the rows are not divided into reduction blocks. */
static inline int64_t rn_rows_parts(rn_rows rows) {
  if (rows.reduction_block == 0 || rows.count == 0) return 1;
  return rows.count / rows.tokens * rn_rows_reduction_blocks_each(rows);
}

/** Returns the rows of part `index`. */
static inline rn_range rn_rows_part(rn_rows rows, int64_t index) {
  if (rows.reduction_block == 0 || rows.count == 0) return (rn_range){0, rows.count};
  const int64_t each = rn_rows_reduction_blocks_each(rows), first = index / each * rows.tokens;
  const int64_t begin = index % each * rows.reduction_block, end = begin + rows.reduction_block;
  return (rn_range){first + begin, first + (end < rows.tokens ? end : rows.tokens)};
}

#endif
