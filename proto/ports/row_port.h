/**
 * Defines the interface through which attention receives the keys and values of earlier pieces of a
 * sequence, and in backward passes on the gradients of these keys and values.
 *
 * A sequence is divided into pieces, over ranks and over the segments of a rank. A query attends to
 * keys and values of its own piece and of earlier pieces. The gradient of a key is therefore a sum
 * over queries of the key's piece and of later pieces. Backward processes the pieces in descending
 * order, and the port completes the sums of a piece when backward reaches the piece.
 *
 * comm/rows/row_exchange.h implements a port across ranks and segments; model/decode/prefill.h
 * implements a port that reads the keys and values of a decoder.
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
  int layer;          /* number of attention layers that precede this layer in the stage */
  int sequences;      /* B */
  rn_range positions; /* positions of the T rows of each sequence */
  size_t bytes;       /* bytes of a row */
  const void *rows;   /* [B, T] */
} rn_row_piece;

/** The rows that the queries of the piece may see; the piece's own rows are last. */
typedef struct rn_row_view {
  rn_range positions; /* positions of the rows of each sequence */
  int64_t stride;     /* number of rows from one sequence to the next */
  const void *rows;
} rn_row_view;

/** Sums of the gradients of the rows of a view: row r of `sum` belongs to row r of the view. */
typedef struct rn_row_gradients {
  int elements; /* number of elements of a row */
  rn_real *sum; /* on entry, the sums over later pieces; the caller adds to them */
} rn_row_gradients;

/**
 * Collective: over the ranks that share the sequence; all make the same calls in the same order.
 * Ownership:  the rows that begin() receives must not change until end() returns. The port owns
 *             views and sums, which are valid until the next begin().
 * Overlap:    work between begin() and end() hides the transfer; poll() progresses it.
 */
typedef struct rn_row_port {
  void *self;
  /** Starts the exchange of a layer's keys and values. `piece` holds those of this rank. */
  rn_status (*begin)(void *self, rn_err *err, const rn_row_piece *piece);
  /** Progresses messages without waiting; cheap. */
  void (*poll)(void *self);
  /** Completes the exchange; sets *out to the rows that the queries may see. */
  rn_status (*end)(void *self, rn_err *err, rn_row_view *out);
  /** Called in backward after end(). Sets *out to the sums to which the caller then adds. NULL in
   * ports without backward. */
  rn_status (*begin_sums)(void *self, rn_err *err, int elements, rn_row_gradients *out);
  /** Called in backward after the caller has added to the sums. Sends the sums for rows of earlier
   * pieces towards the owners of these rows, and completes the sums for the rows of this piece,
   * which the caller then reads. */
  rn_status (*end_sums)(void *self, rn_err *err);
} rn_row_port;

#endif
