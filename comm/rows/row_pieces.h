/**
 * Determines which rows of a sequence the ranks exchange. All functions depend only on the pieces
 * and the attention window.
 *
 * A sequence is cut into K segments of S pieces, for S ranks; in segment k, rank s works on piece
 * k * S + s. The queries of piece p see the rows from position reach(p) to the end of the piece:
 *
 *   reach(p) = max(0, begin(p) - window + 1), 0 without a window
 *
 * reach(p) never decreases with p. In forward of segment k, rank s receives the rows in reach that
 * are between its pieces of segments k-1 and k: from lower ranks, rows of their pieces of segment
 * k; from higher ranks, rows of their pieces of segment k-1. In backward of segment k, every other
 * rank sends to rank s the gradients that it has summed for the rows of piece k * S + s; it has
 * added the contributions of all of its own later pieces.
 */
#ifndef RN_COMM_ROWS_ROW_PIECES_H
#define RN_COMM_ROWS_ROW_PIECES_H

#include <stdint.h>

#include "proto/base/range.h"

typedef struct rn_row_pieces {
  const int64_t *bound; /* [K * S + 1]: piece p has positions [bound[p], bound[p+1]) */
  int ranks, segments;  /* S, K */
  int64_t window;       /* 0: none */
  int64_t multiple;     /* reach(p) is rounded down to a multiple of this; at least 1 */
} rn_row_pieces;

/** Returns the positions of the piece of a rank in a segment. Not collective. Errors: none. */
rn_range rn_row_piece_of(const rn_row_pieces *pieces, int segment, int rank);

/** Returns the positions that the queries of a piece may see: from reach(p) to the end of the
 * piece. Not collective. Errors: none. */
rn_range rn_row_reach(const rn_row_pieces *pieces, int segment, int rank);

/** Returns the positions of the rows that rank `from` sends to rank `to` in forward of a segment;
 * begin >= end if there are none. Not collective. Errors: none. */
rn_range rn_row_forward(const rn_row_pieces *pieces, int segment, int from, int to);

/** Returns the positions of the rows, all of them in the piece of rank `to`, for which rank `from`
 * sends gradients in backward of a segment. Not collective. Errors: none. */
rn_range rn_row_backward(const rn_row_pieces *pieces, int segment, int from, int to);

#endif
