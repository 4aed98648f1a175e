#include "comm/rows/row_pieces.h"

static const rn_range nothing = {0, 0};

rn_range rn_row_piece_of(const rn_row_pieces *p, int segment, int rank) {
  const int piece = segment * p->ranks + rank;
  return (rn_range){p->bound[piece], p->bound[piece + 1]};
}

rn_range rn_row_reach(const rn_row_pieces *p, int segment, int rank) {
  const rn_range own = rn_row_piece_of(p, segment, rank);
  int64_t first = p->window > 0 && own.begin >= p->window ? own.begin - p->window + 1 : 0;
  first -= first % p->multiple;
  return (rn_range){first, own.end};
}

/* Returns the part of a piece that begins at position `first` or later. */
static rn_range from_first(rn_range piece, int64_t first) {
  return (rn_range){first > piece.begin ? first : piece.begin, piece.end};
}

rn_range rn_row_forward(const rn_row_pieces *p, int segment, int from, int to) {
  const int sent = from < to ? segment : segment - 1;
  if (from == to || sent < 0) return nothing;
  return from_first(rn_row_piece_of(p, sent, from), rn_row_reach(p, segment, to).begin);
}

rn_range rn_row_backward(const rn_row_pieces *p, int segment, int from, int to) {
  const int nearest = from > to ? segment : segment + 1;
  if (from == to || nearest >= p->segments) return nothing;
  return from_first(rn_row_piece_of(p, segment, to), rn_row_reach(p, nearest, from).begin);
}
