/**
 * The interface through which attention gets the keys and values of earlier pieces of a sequence,
 * and returns the gradients of these, whichever implementation provides it.
 *
 * A sequence is divided into pieces: segments of one rank, and over ranks. A query sees keys and
 * values of its own piece and of earlier ones. So the gradient of a key is a sum over the queries
 * of its piece and of later ones; backward runs the pieces in descending order, and the port
 * completes the sums of a piece when backward has reached it.
 *
 * comm/rows/row_exchange.h implements a port across ranks and segments, model/decode/prefill.h one
 * that reads the keys and values of a decoder.
 */
#ifndef RN_PROTO_PORTS_ROW_PORT_H
#define RN_PROTO_PORTS_ROW_PORT_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/range.h"
#include "proto/base/real.h"
#include "proto/base/status.h"

/** The rows of this rank's piece: one row holds the keys and values of a token. */
typedef struct rn_row_piece {
  int layer;          /* number of attention layers of the stage before this one */
  int sequences;      /* B */
  rn_range positions; /* of the T rows of each sequence */
  size_t bytes;       /* of a row */
  const void *rows;   /* [B, T] */
} rn_row_piece;

/** The rows that the queries of the piece may see, the piece's own rows last. */
typedef struct rn_row_view {
  rn_range positions; /* of the rows of each sequence */
  int64_t stride;     /* rows from one sequence to the next */
  const void *rows;
} rn_row_view;

/** Sums of the gradients of the rows of a view: row r of `sum` belongs to row r of the view. */
typedef struct rn_row_gradients {
  int elements; /* of a row */
  rn_real *sum; /* holds what later pieces have added; the caller adds its own part */
} rn_row_gradients;

/**
 * Collective: over the ranks that share the sequence; all make the same calls in the same order.
 * Ownership:  the rows of the piece must not change until end() returns. Views and sums are the
 *             port's, and valid until the next begin().
 * Overlap:    work between begin() and end() hides the transfer; poll() progresses it.
 */
typedef struct rn_row_port {
  void *self;
  /** Starts the exchange of keys and values of a layer. */
  rn_status (*begin)(void *self, rn_err *err, const rn_row_piece *piece);
  /** Progresses messages without waiting; cheap. */
  void (*poll)(void *self);
  /** Completes the exchange. */
  rn_status (*end)(void *self, rn_err *err, rn_row_view *out);
  /** Backward, after end(): returns the sums to which the caller adds. NULL for ports without
   * backward. */
  rn_status (*begin_sums)(void *self, rn_err *err, int elements, rn_row_gradients *out);
  /** Backward: passes on the sums of earlier pieces, and completes those of the piece's own rows,
   * which the caller then reads in the sums. */
  rn_status (*end_sums)(void *self, rn_err *err);
} rn_row_port;

#endif
