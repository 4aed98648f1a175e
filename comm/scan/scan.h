/**
 * Implements rn_scan_port: the scan of states over the ranks that share a sequence.
 *
 *   before(piece) = sum over earlier pieces s of X(s) * (product of the factors of the pieces
 *                   between s and piece)
 *
 * The scan computes before(next) = a * before + X from the first piece to the last (FORWARD) or
 * from the last to the first (REVERSE). proto/ports/scan_port.h defines the element (log a, X) and
 * the order of composition.
 *
 * Segments: a sequence may be cut into K segments of S pieces, for S ranks; in segment k, rank s
 * works on piece k * S + s. For each layer, the state after rank S-1's piece of segment k is the
 * initial state of rank 0 in segment k+1; the adjoint is sent in the opposite direction, from rank
 * 0 of segment k+1 to rank S-1 of segment k. Between two segments of a sequence, a rank may run
 * scans in the other direction; pending sends do not block them.
 */
#ifndef RN_COMM_SCAN_SCAN_H
#define RN_COMM_SCAN_SCAN_H

#include <stdbool.h>

#include "comm/world/comm_thread.h"
#include "comm/world/grid.h"
#include "proto/ports/scan_port.h"

typedef enum {
  RN_SCAN_PIPELINED,  /* from neighbour to neighbour, in blocks: sends the fewest bytes; overlaps
                         with computation */
  RN_SCAN_DOUBLING,   /* ceil(log2 ranks) rounds; for small states */
  RN_SCAN_EXSCAN,     /* MPI_Exscan with a user-defined operation; reference for the tests */
  RN_SCAN_ORDERED,    /* serial, chunk by chunk; for reproducible mode */
  RN_SCAN_SINGLE_RANK /* one rank holds whole sequences; no communication */
} rn_scan_algorithm;

/** Number of algorithms that parallel.scan can select; they come first in rn_scan_algorithm. */
enum { RN_SCAN_SELECTABLE = RN_SCAN_ORDERED };

/** Options of a scan object, and upper bounds for the scans that it runs. */
typedef struct rn_scan_shape {
  int heads;      /* maximum of B * H (sequences * heads) in one micro-batch */
  int64_t matrix; /* elements of one head's state: key width * value width */
  int layers;     /* number of layers; the port's `layer` is in [0, layers) */
  int segments;   /* maximum number of segments per sequence; if it is 1, no memory per layer is
                     allocated */
  double epsilon; /* factors below epsilon are treated as 0; factors below FLT_MIN always are */
  bool ordered;   /* only for SINGLE_RANK: the caller computes the states and publishes them, as for
                     ORDERED */
} rn_scan_shape;

typedef struct rn_scan rn_scan;

/**
 * Creates a scan over the ranks of the sequence axis. Later calls allocate no memory.
 * Collective: over the world of the grid, which outlives the scan.
 * Errors:     RN_ERR_USAGE if the algorithm cannot send states of this size in one message;
 *             RN_ERR_MEMORY, not agreed; RN_ERR_MPI.
 */
rn_status rn_scan_create(rn_err *err, const rn_grid *grid, rn_scan_algorithm algorithm,
                         rn_scan_shape shape, rn_scan **out);
/**
 * Frees the scan; accepts NULL. Collective: over the sequence axis; all of its ranks must have
 * ended the same scans.
 * Errors: none. If the failure of another rank keeps messages in flight, their memory is not freed.
 */
void rn_scan_destroy(rn_scan **scan);

/**
 * Makes `thread` progress messages while the main thread computes; poll() then does nothing. NULL:
 * poll() progresses them. In both cases, algorithms without progress() communicate in end(). Not
 * collective. Errors: none.
 */
void rn_scan_use_thread(rn_scan *scan, rn_comm_thread *thread);

/**
 * Returns the port, which the scan owns. All scans through the port have m = shape.matrix. Not
 * collective, but calls through the port are collective over the sequence axis. Errors: none; calls
 * through the port return RN_ERR_MPI.
 */
rn_scan_port *rn_scan_port_of(rn_scan *scan);

/**
 * Sets the segment to which the following scans belong; initially segment 0 of 1.
 *
 * FORWARD starts segment 0 from zero or from the initial state of rn_scan_set_boundary; REVERSE
 * starts the last segment from zero. All ranks of the axis run the same scans in the same order. In
 * each direction, the segments of a sequence must be scanned one after the other, without another
 * sequence in between.
 *
 * Not collective. Errors: none.
 */
void rn_scan_set_segment(rn_scan *scan, int segment, int segments);

/**
 * Sets the boundary states of the following FORWARD scans: the first rank starts segment 0 from
 * `initial` (NULL: zero); the last rank writes the state after the last segment to `final` (NULL:
 * not written).
 *
 * Shapes:     both [layers, n, matrix], n as in the scans.
 * Collective: no.
 * Ownership:  the caller keeps both valid until the next call of this function; `final` is complete
 *             after end() or publish().
 * Errors:     none.
 */
void rn_scan_set_boundary(rn_scan *scan, const float *initial, float *final);

/**
 * Returns the size in bytes of the states that rank `rank` of `ranks` allocates for a scan. The
 * states take nearly all of the scan's memory. Not collective. Errors: none.
 */
size_t rn_scan_bytes(rn_scan_algorithm algorithm, rn_scan_shape shape, int rank, int ranks);

/** Returns the algorithm that `parallel.scan: auto` selects for states of `state_bytes` bytes. Not
 * collective. Errors: none. */
rn_scan_algorithm rn_scan_choose(int ranks, int64_t state_bytes);
/** Returns the value of parallel.scan that selects the algorithm. Not collective. Errors: none. */
const char *rn_scan_name(rn_scan_algorithm algorithm);

/**
 * Writes a description to text [bytes]: the algorithm, its block size, and the measurements that
 * determined the block size. Not collective. Errors: none.
 */
void rn_scan_describe(const rn_scan *scan, char *text, size_t bytes);

/** Returns the number of bytes that this rank has sent since creation. Not collective. Errors:
 * none. */
int64_t rn_scan_bytes_sent(const rn_scan *scan);

/** Returns the seconds that this rank has waited in end() of scans of this direction since
 * creation. Not collective. Errors: none. */
double rn_scan_wait_s(const rn_scan *scan, rn_scan_direction direction);

/** Returns the part of rn_scan_wait_s in which a block had arrived, but the fault site
 * `scan.message` held it back. Not collective. Errors: none. */
double rn_scan_held_s(const rn_scan *scan, rn_scan_direction direction);

#endif
