/**
 * The rows of a unit, and the boundaries that work on them must not cross.
 *
 * In reproducible mode a sequence is split into reduction blocks of a fixed number of tokens. No
 * product and no sum crosses a block boundary, so that shapes, and with them bits, do not depend on
 * how a sequence is split over ranks. Outside reproducible mode all rows are one part. The last
 * reduction block of a sequence may be shorter.
 */
#ifndef RN_MODEL_PASS_ROWS_H
#define RN_MODEL_PASS_ROWS_H

#include "model/pass/unit.h"
#include "proto/base/range.h"

typedef struct rn_rows {
  int64_t count;
  int tokens; /* rows of one sequence's segment, which begins at a reduction block boundary */
  int reduction_block; /* rows of a reduction block; 0: no boundaries */
} rn_rows;

/** Rows without boundaries. */
static inline rn_rows rn_rows_together(int64_t count) {
  return (rn_rows){count, 0, 0};
}

/** The rows of a unit, with its reduction blocks. */
static inline rn_rows rn_rows_of_unit(const rn_unit *unit) {
  return (rn_rows){(int64_t)unit->sequences * unit->tokens, unit->tokens, unit->reduction_block};
}

/** Reduction blocks of one sequence's segment. */
static inline int64_t rn_rows_reduction_blocks_each(rn_rows rows) {
  return (rows.tokens + rows.reduction_block - 1) / rows.reduction_block;
}

/** Parts that are processed separately: the reduction blocks, or one. */
static inline int64_t rn_rows_parts(rn_rows rows) {
  if (rows.reduction_block == 0 || rows.count == 0) return 1;
  return rows.count / rows.tokens * rn_rows_reduction_blocks_each(rows);
}

/** Rows of part `index`. */
static inline rn_range rn_rows_part(rn_rows rows, int64_t index) {
  if (rows.reduction_block == 0 || rows.count == 0) return (rn_range){0, rows.count};
  const int64_t each = rn_rows_reduction_blocks_each(rows), first = index / each * rows.tokens;
  const int64_t begin = index % each * rows.reduction_block, end = begin + rows.reduction_block;
  return (rn_range){first + begin, first + (end < rows.tokens ? end : rows.tokens)};
}

#endif
