/**
 * Implements rn_row_port (proto/ports/row_port.h) over the ranks that share a sequence: exchanges
 * rows (the keys and values of one token) and their gradients.
 *
 *   forward    a rank receives the rows of earlier pieces (rn_row_pieces) that its queries may see
 *   backward   a rank sums the gradients that its queries contribute to the rows of another rank,
 *              and sends the sums to that rank, which adds the sums of all ranks in rank order
 *
 * With `ordered` (reproducible mode), the sums instead pass from the last piece to the first, and
 * each rank adds its contributions to the sums that it receives. The order of additions is then the
 * same as on one rank, and so are the bits of the result. In this mode, each rank waits for the
 * rank with the next piece.
 *
 * Segments: if a rank has several segments (comm/scan/scan.h), the exchanged rows are kept until
 * backward of the micro-batch is complete, and the sums are kept while backward runs. Otherwise,
 * the rows of only one layer are held at a time, and backward exchanges them again.
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

/** Options of an exchange, and upper bounds for its units (rn_row_unit). */
typedef struct rn_row_exchange_shape {
  int sequences;      /* maximum number B of sequences in a unit */
  int64_t tokens;     /* tokens of a whole sequence */
  int64_t own_tokens; /* maximum number of tokens of a piece, the part of a segment on one rank */
  int layers;         /* number of attention layers of the stage */
  int segments;       /* number K of segments per sequence */
  int microbatches;   /* maximum number of micro-batches in flight at a time */
  int64_t window;     /* 0: none */
  bool backward;      /* true if gradients are exchanged, too */
  bool ordered;
  int multiple; /* alignment of the first position in reach, at least 1; see rn_row_pieces */
  int elements; /* number of gradients per row */
  size_t bytes; /* size in bytes of a row of keys and values */
} rn_row_exchange_shape;

typedef struct rn_row_exchange rn_row_exchange;

/** Returns the size in bytes of the rows, sums and messages that an exchange over `ranks` ranks
 * allocates. Not collective. Errors: none. */
size_t rn_row_exchange_bytes(rn_row_exchange_shape shape, int ranks);

/**
 * Creates an exchange over the ranks of the sequence axis of the grid, which must outlive the
 * exchange. Later calls allocate no memory. The ranks must then agree on the status (rn_agree) and
 * call rn_row_exchange_connect.
 *
 * Collective: no.
 * Errors:     RN_ERR_MEMORY, possibly on some ranks only.
 */
rn_status rn_row_exchange_create(rn_err *err, const rn_grid *grid, rn_row_exchange_shape shape,
                                 rn_row_exchange **out);
/** Creates the communicators of an exchange. Collective: over the sequence axis. Errors:
 * RN_ERR_MPI.
 */
rn_status rn_row_exchange_connect(rn_err *err, rn_row_exchange *exchange);
/** Frees the exchange; accepts NULL. Collective: over the sequence axis, if connected. Errors:
 * none. If the failure of another rank keeps messages in flight, their memory is not freed. */
void rn_row_exchange_destroy(rn_row_exchange **exchange);

/** Lets `thread` progress messages while the main thread computes; NULL: no thread. Not
 * collective. Errors: none. */
void rn_row_exchange_use_thread(rn_row_exchange *exchange, rn_comm_thread *thread);

/** Identifies a unit of work: forward or backward of one segment of one micro-batch. */
typedef struct rn_row_unit {
  int microbatch; /* index of the micro-batch in the step */
  int segment, segments;
  bool backward;        /* true for backward; the unit's forward must come first */
  const int64_t *bound; /* [segments x ranks + 1]: positions at which the pieces begin, then the
                           length of the sequence; copied */
} rn_row_unit;

/** Sets the unit of work to which the following calls of the port belong. Not collective. Errors:
 * none. */
void rn_row_exchange_set_unit(rn_row_exchange *exchange, rn_row_unit unit);

/** Returns the port, which the exchange owns. Not collective, but calls through the port are
 * collective over the sequence axis. Errors: none; calls through the port return RN_ERR_MPI. */
rn_row_port *rn_row_exchange_port(rn_row_exchange *exchange);

#endif
