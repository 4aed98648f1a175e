/**
 * Which rows of a sequence the ranks exchange: pure functions of the pieces and the window.
 *
 * A sequence is cut into K S pieces for S ranks; rank s works on piece k S + s in segment k. The
 * queries of a piece see rows from `reach` of the piece on:
 *
 *   reach(p) = max(0, begin(p) - window + 1), 0 without a window
 *
 * which never falls from piece to piece. In segment k, forward brings rank s the rows in reach that
 * lie between its piece of segment k-1 and that of segment k: those of ranks before it are of
 * segment k, those of ranks behind it of segment k-1. Backward brings the owner of a piece the sums
 * of every other rank, of all its pieces from segment k on.
 */
#ifndef RN_COMM_ROWS_ROW_PIECES_H
#define RN_COMM_ROWS_ROW_PIECES_H

#include <stdint.h>

#include "proto/base/range.h"

typedef struct rn_row_pieces {
  const int64_t *bound; /* [K S + 1]: piece p has positions [bound[p], bound[p+1]) */
  int ranks, segments;  /* S, K */
  int64_t window;       /* 0: none */
  int64_t multiple;     /* reach is rounded down to a multiple of this; at least 1 */
} rn_row_pieces;

/** Returns the positions of the piece of a rank in a segment. Not collective. Errors: none. */
rn_range rn_row_piece_of(const rn_row_pieces *pieces, int segment, int rank);

/** Returns the positions that the queries of a piece may see. Not collective. Errors: none. */
rn_range rn_row_reach(const rn_row_pieces *pieces, int segment, int rank);

/** Returns the positions of the rows that rank `from` sends to rank `to` in forward of a segment;
 * begin >= end if there are none. Not collective. Errors: none. */
rn_range rn_row_forward(const rn_row_pieces *pieces, int segment, int from, int to);

/** Returns the positions of the sums that rank `from` sends to their owner `to` in backward of a
 * segment. Not collective. Errors: none. */
rn_range rn_row_backward(const rn_row_pieces *pieces, int segment, int from, int to);

#endif
