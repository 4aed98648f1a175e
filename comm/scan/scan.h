/**
 * The scan of states over the ranks that share a sequence, as an implementation of rn_scan_port.
 *
 *   before(piece) = sum over earlier pieces s of (product of the factors between) X(s)
 *
 * computed as before(next) = a before + X from the first piece to the last; REVERSE from the last
 * to the first. The element (log a, X) and its order are those of proto/ports/scan_port.h.
 *
 * Segments: a sequence may be cut into K S pieces for S ranks; rank s works on piece kS + s in
 * segment k. The state after rank S-1 of segment k is the initial state of rank 0 in segment k+1,
 * layer by layer; the adjoint goes from rank 0 of segment k+1 to rank S-1 of segment k. Between two
 * segments of a sequence, a rank may run scans of the other direction, which do not block its
 * sends.
 */
#ifndef RN_COMM_SCAN_SCAN_H
#define RN_COMM_SCAN_SCAN_H

#include <stdbool.h>

#include "comm/world/comm_thread.h"
#include "comm/world/grid.h"
#include "proto/ports/scan_port.h"

typedef enum {
  RN_SCAN_PIPELINED,  /* blocks go from neighbour to neighbour: least volume; overlaps work */
  RN_SCAN_DOUBLING,   /* ceil(log2 ranks) rounds: for small states */
  RN_SCAN_EXSCAN,     /* MPI_Exscan with a user-defined operation: reference of the tests */
  RN_SCAN_ORDERED,    /* serial, chunk by chunk: reproducible mode */
  RN_SCAN_SINGLE_RANK /* one rank holds whole sequences: no communication */
} rn_scan_algorithm;

/** Upper bounds and options of the scans of an object. */
typedef struct rn_scan_shape {
  int heads;      /* B H of a unit, at most */
  int64_t matrix; /* elements of a head's state: K V */
  int layers;     /* the port's `layer` is in [0, layers) */
  int segments;   /* at most; memory per layer is allocated only for more than one */
  double epsilon; /* factors below it are treated as 0; those below FLT_MIN always are */
  bool ordered;   /* SINGLE_RANK: the caller computes states and publishes them, as in ORDERED */
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
 * Takes NULL. Collective: over the sequence axis, whose ranks have ended the same scans.
 * Errors: none; memory of messages that another rank's failure keeps in flight is not freed.
 */
void rn_scan_destroy(rn_scan **scan);

/**
 * From now on `thread` progresses messages while the main thread computes, instead of poll();
 * algorithms without progress() communicate in end(). NULL: no thread. Not collective. Errors:
 * none.
 */
void rn_scan_use_thread(rn_scan *scan, rn_comm_thread *thread);

/**
 * The port, owned by the scan. All of its scans have m = shape.matrix. Not collective, but the
 * calls of the port are, over the sequence axis. Errors: none; those of the port: RN_ERR_MPI.
 */
rn_scan_port *rn_scan_port_of(rn_scan *scan);

/**
 * Sets the segment to which the following scans belong; initially segment 0 of 1.
 *
 * FORWARD starts segment 0 from zero or from the initial state below; REVERSE starts the last
 * segment from zero. All ranks of the axis run the same scans in the same order; in each direction,
 * the segments of a sequence follow one another.
 *
 * Not collective. Errors: none.
 */
void rn_scan_set_segment(rn_scan *scan, int segment, int segments);

/**
 * The following FORWARD scans start segment 0 from `initial`, read on the first rank, and write the
 * state after the last segment to `final` on the last rank. NULL: zero; not written.
 *
 * Shapes:     both [layers, n, matrix], n as in the scans.
 * Collective: no.
 * Ownership:  the caller's, until the next call; final is complete after end() or publish().
 * Errors:     none.
 */
void rn_scan_set_boundary(rn_scan *scan, const float *initial, float *final);

/**
 * Bytes of states that rank `rank` of `ranks` allocates for a scan, nearly all of its memory.
 * Not collective. Errors: none.
 */
size_t rn_scan_bytes(rn_scan_algorithm algorithm, rn_scan_shape shape, int rank, int ranks);

/** The algorithm that parallel.scan: auto selects for states of `state_bytes`. Not collective.
 * Errors: none. */
rn_scan_algorithm rn_scan_choose(int ranks, int64_t state_bytes);
/** The value of parallel.scan that selects the algorithm. Not collective. Errors: none. */
const char *rn_scan_name(rn_scan_algorithm algorithm);

/**
 * Writes to text [bytes] the algorithm, its block size and the measurements that chose it.
 * Not collective. Errors: none.
 */
void rn_scan_describe(const rn_scan *scan, char *text, size_t bytes);

/** Bytes sent by this rank, and seconds spent in end(), since create. Not collective. Errors: none.
 */
int64_t rn_scan_bytes_sent(const rn_scan *scan);
double rn_scan_wait_s(const rn_scan *scan);

#endif
