/**
 * The scan of states over the ranks that share a sequence, behind the model's port.
 *
 *   before(piece) = sum over earlier pieces s of (product of the factors between) X(s)
 *
 * computed as before(next) = a before + X from the first piece on; REVERSE runs from the last
 * piece. The element (log a, X) and its order are those of proto/ports/scan_port.h.
 *
 * Segments: a sequence may be cut into K S pieces for S ranks; rank s works on piece kS + s in
 * segment k. The state after rank S-1 of segment k is the initial state of rank 0 in segment k+1,
 * layer by layer; the adjoint goes from rank 0 of segment k+1 to rank S-1 of segment k. Between two
 * segments of a sequence, a rank may run scans of the other direction; no send waits for them.
 */
#ifndef RN_COMM_SCAN_SCAN_H
#define RN_COMM_SCAN_SCAN_H

#include <stdbool.h>

#include "comm/world/comm_thread.h"
#include "comm/world/grid.h"
#include "proto/ports/scan_port.h"

typedef enum {
  RN_SCAN_PIPELINED,  /* blocks go from neighbour to neighbour: least volume, hidden by polls */
  RN_SCAN_DOUBLING,   /* log2 rounds: for small states */
  RN_SCAN_EXSCAN,     /* MPI_Exscan with an operation of our own: the oracle */
  RN_SCAN_ORDERED,    /* one serial left fold, chunk by chunk: reproducible mode */
  RN_SCAN_SINGLE_RANK /* one rank has whole sequences: no communication */
} rn_scan_algorithm;

/** What a scan is made for. */
typedef struct rn_scan_shape {
  int heads;      /* of all sequences of a unit, at most: B H */
  int64_t matrix; /* elements of a head's state: K V */
  int layers;     /* that scan: the port's `layer` is below */
  int segments;   /* at most; memory by layer is allocated only if there are several */
  double epsilon; /* factors below it count as 0, as those below FLT_MIN always do */
  bool ordered;   /* SINGLE_RANK: the caller folds the states and publishes them, as in ORDERED */
} rn_scan_shape;

typedef struct rn_scan rn_scan;

/**
 * A scan between the ranks of the sequence axis. Nothing is allocated afterwards.
 * Collective: over the sequence axis of the grid, which outlives the scan.
 * Errors:     RN_ERR_USAGE when the algorithm cannot send states of this size in one message;
 *             RN_ERR_MEMORY, not agreed.
 */
rn_status rn_scan_create(rn_err *err, const rn_grid *grid, rn_scan_algorithm algorithm,
                         rn_scan_shape shape, rn_scan **out);
/** Takes NULL. Collective: the ranks have ended the same scans. */
void rn_scan_destroy(rn_scan **scan);

/**
 * From now on `thread` progresses messages while the main thread computes, in place of poll();
 * algorithms without poll() work in end(). NULL: no thread.
 */
void rn_scan_use_thread(rn_scan *scan, rn_comm_thread *thread);

/** The port; valid as long as the scan. Every scan of it has the shape's matrix. */
rn_scan_port *rn_scan_port_of(rn_scan *scan);

/**
 * The scans that follow belong to this segment of a sequence that has `segments`; 0 of 1 at first.
 *
 * Segment 0 starts from zero or the initial state below, the last one from zero when REVERSE. All
 * ranks of the axis make the same scans in the same order; in each direction, the segments of a
 * sequence follow one another.
 */
void rn_scan_set_segment(rn_scan *scan, int segment, int segments);

/**
 * FORWARD scans that follow start from `initial` in segment 0, read on the first rank, and write
 * the state after the last segment to `final` on the last rank. NULL: zero; not written.
 *
 * Shapes:    both [layers, n, matrix], n as in the scans.
 * Ownership: the caller's, until the next call; final is complete after end() or publish().
 */
void rn_scan_set_boundary(rn_scan *scan, const float *initial, float *final);

/** Bytes of states that rank `rank` of `ranks` allocates for a scan; little else is allocated. */
size_t rn_scan_bytes(rn_scan_algorithm algorithm, rn_scan_shape shape, int rank, int ranks);

/** The rule of parallel.scan: auto, a function of ranks and bytes of one state alone. */
rn_scan_algorithm rn_scan_choose(int ranks, int64_t state_bytes);
/** The value of parallel.scan that selects the algorithm. */
const char *rn_scan_name(rn_scan_algorithm algorithm);

/** The algorithm, its blocks and what chose them, as text [bytes]. */
void rn_scan_describe(const rn_scan *scan, char *text, size_t bytes);

/** Bytes that this rank has sent, and seconds that it has waited for others, since create. */
int64_t rn_scan_bytes_sent(const rn_scan *scan);
double rn_scan_wait_s(const rn_scan *scan);

#endif
