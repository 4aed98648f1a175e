/**
 * The rows of a unit, and where work on them may not reach across.
 *
 * In reproducible mode a sequence is cut into leaves of a fixed number of tokens: no product and no
 * sum spans two of them, so that shapes, and with them bits, do not depend on how a sequence is
 * shared. Without leaves all rows are one. The last leaf of a sequence may be shorter.
 */
#ifndef RN_MODEL_PASS_ROWS_H
#define RN_MODEL_PASS_ROWS_H

#include "model/pass/unit.h"
#include "proto/base/range.h"

typedef struct rn_rows {
  int64_t count;
  int tokens; /* rows of one sequence's piece, which begins on a leaf's edge */
  int leaf;   /* rows of a leaf; 0: all rows are one */
} rn_rows;

/** Rows that may be worked on together. */
static inline rn_rows rn_rows_together(int64_t count) {
  return (rn_rows){count, 0, 0};
}

static inline rn_rows rn_rows_of_unit(const rn_unit *unit) {
  return (rn_rows){(int64_t)unit->sequences * unit->tokens, unit->tokens, unit->leaf};
}

/** Leaves of one sequence's piece. */
static inline int64_t rn_rows_reduction_blocks_each(rn_rows rows) {
  return (rows.tokens + rows.leaf - 1) / rows.leaf;
}

/** Parts that are worked on apart: the leaves, or one. */
static inline int64_t rn_rows_parts(rn_rows rows) {
  if (rows.leaf == 0 || rows.count == 0) return 1;
  return rows.count / rows.tokens * rn_rows_reduction_blocks_each(rows);
}

static inline rn_range rn_rows_part(rn_rows rows, int64_t index) {
  if (rows.leaf == 0 || rows.count == 0) return (rn_range){0, rows.count};
  const int64_t each = rn_rows_reduction_blocks_each(rows), first = index / each * rows.tokens;
  const int64_t begin = index % each * rows.leaf, end = begin + rows.leaf;
  return (rn_range){first + begin, first + (end < rows.tokens ? end : rows.tokens)};
}

#endif
