/**
 * The exchange of keys and values, and of their gradients, over the ranks that share a sequence, as
 * an implementation of rn_row_port (proto/ports/row_port.h).
 *
 *   forward    a rank receives the rows of earlier pieces that are in reach of its queries
 *   backward   a rank sends its sums for rows of other ranks to their owners, which add them in a
 *              fixed order of the ranks
 *
 * With `ordered` (reproducible mode) no sums are added: the sums themselves go from piece to piece
 * in descending order, and each rank continues them, so that bits are those of one rank. Ranks then
 * wait for each other.
 *
 * Segments: with several segments of a rank (comm/scan/scan.h), the rows that have been exchanged
 * are kept until the micro-batch has passed backward, and so are the sums while backward runs.
 * Otherwise one layer's rows are held at a time, and backward exchanges them again.
 */
#ifndef RN_COMM_ROWS_ROW_EXCHANGE_H
#define RN_COMM_ROWS_ROW_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "comm/rows/row_pieces.h"
#include "comm/world/comm_thread.h"
#include "comm/world/grid.h"
#include "proto/ports/row_port.h"

/** Upper bounds that the units of an exchange must not exceed. */
typedef struct rn_row_exchange_shape {
  int sequences;      /* B of a unit */
  int64_t tokens;     /* of a whole sequence */
  int64_t own_tokens; /* of a piece */
  int layers;         /* attention layers of the stage */
  int segments;       /* K */
  int microbatches;   /* in flight at a time */
  int64_t window;     /* 0: none */
  bool backward;      /* sums are exchanged, too */
  bool ordered;
  int multiple; /* rows in reach begin at multiples of this position; at least 1 */
  int elements; /* of a row: 2 G K */
  size_t bytes; /* of a row */
} rn_row_exchange_shape;

typedef struct rn_row_exchange rn_row_exchange;

/** Returns the bytes of rows and sums that an exchange over `ranks` ranks allocates. Not
 * collective. Errors: none. */
size_t rn_row_exchange_bytes(rn_row_exchange_shape shape, int ranks);

/**
 * Creates an exchange over the ranks of the sequence axis of the grid, which outlives the exchange.
 * Later calls allocate no memory. The caller agrees on the status, and calls
 * rn_row_exchange_connect next. Collective: no. Errors:     RN_ERR_MEMORY, not agreed.
 */
rn_status rn_row_exchange_create(rn_err *err, const rn_grid *grid, rn_row_exchange_shape shape,
                                 rn_row_exchange **out);
/** Creates the communicators of an exchange. Collective: over the sequence axis. Errors:
 * RN_ERR_MPI.
 */
rn_status rn_row_exchange_connect(rn_err *err, rn_row_exchange *exchange);
/** Takes NULL. Collective: over the sequence axis, if connected. Errors: none. If the failure of
 * another rank keeps messages in flight, their memory is not freed. */
void rn_row_exchange_destroy(rn_row_exchange **exchange);

/** Makes `thread` progress messages while the main thread computes; NULL: no thread does. Not
 * collective. Errors: none. */
void rn_row_exchange_use_thread(rn_row_exchange *exchange, rn_comm_thread *thread);

/** A unit of the exchange. */
typedef struct rn_row_unit {
  int microbatch; /* index in the step */
  int segment, segments;
  bool backward;        /* forward of the unit has exchanged the same rows */
  const int64_t *bound; /* [segments x ranks + 1]: positions at which the pieces begin, and the
                           length of the sequence; copied */
} rn_row_unit;

/** Sets the unit to which the following calls of the port belong. Not collective. Errors: none. */
void rn_row_exchange_set_unit(rn_row_exchange *exchange, rn_row_unit unit);

/** Returns the port, which the exchange owns. Calls through it are collective over the sequence
 * axis, and return RN_ERR_MPI. Not collective. Errors: none. */
rn_row_port *rn_row_exchange_port(rn_row_exchange *exchange);

/** Returns the bytes that this rank has sent since create. Not collective. Errors: none. */
int64_t rn_row_exchange_bytes_sent(const rn_row_exchange *exchange);

#endif
