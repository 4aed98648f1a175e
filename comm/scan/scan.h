/**
 * The scan of states across the ranks that share a sequence, behind the model's port.
 *
 *   before(piece) = sum over earlier pieces s of (product of the factors between) X(s)
 *
 * computed as before(next) = a before + X from the first piece on; REVERSE runs from the last
 * piece. The element (log a, X) and its order are those of proto/ports/scan_port.h.
 *
 * Bands: a sequence may be cut into K S pieces for S ranks; piece kS + s is worked on by rank s in
 * band k. The state behind rank S-1 of band k is what rank 0 of band k+1 goes on from, layer by
 * layer; the adjoint goes from rank 0 of band k+1 to rank S-1 of band k. Between two bands of a
 * sequence, a rank may work on scans of the other direction; nothing that is sent waits for them.
 */
#ifndef RN_COMM_SCAN_SCAN_H
#define RN_COMM_SCAN_SCAN_H

#include "comm/world/comm_thread.h"
#include "comm/world/grid.h"
#include "proto/ports/scan_port.h"

typedef enum {
  RN_SCAN_PIPELINED, /* blocks go from neighbour to neighbour: least volume, hidden by polls */
  RN_SCAN_DOUBLING,  /* log2 rounds: for small states */
  RN_SCAN_EXSCAN     /* MPI_Exscan with an operation of our own: the oracle */
} rn_scan_algorithm;

/** What a chain is made for. */
typedef struct rn_scan_shape {
  int heads;      /* of all sequences at hand, at most: B H */
  int64_t matrix; /* elements of a head's state: K V */
  int layers;     /* that scan: the port's `layer` is below */
  int bands;      /* at most; memory by layer is taken only if there are several */
  double epsilon; /* factors below it pass nothing on, as those below FLT_MIN always do */
} rn_scan_shape;

typedef struct rn_scan rn_scan;

/**
 * A scan between the ranks of the sequence axis. Nothing is allocated afterwards.
 * Collective: over the sequence axis of the grid, which outlives the chain.
 * Errors:     RN_ERR_USAGE when the algorithm cannot send states of this size in one message;
 *             RN_ERR_MEMORY, not agreed.
 */
rn_status rn_scan_create(rn_err *err, const rn_grid *grid, rn_scan_algorithm algorithm,
                         rn_scan_shape shape, rn_scan **out);
/** Collective: the ranks have ended the same scans. */
void rn_scan_destroy(rn_scan **scan);

/**
 * From now on `thread` moves the blocks of the algorithm chain while the main thread computes, in
 * place of poll(); the other algorithms work in end(). NULL: nobody does.
 */
void rn_scan_use_thread(rn_scan *scan, rn_comm_thread *thread);

/** The port; valid as long as the chain. A scan of it has all of the shape's matrix. */
rn_scan_port *rn_scan_port_of(rn_scan *scan);

/**
 * The scans that follow belong to this band of a sequence that has `bands`; 0 of 1 at first.
 *
 * Band 0 begins from zero or rn_scan_set_boundary's state, the last one from zero when REVERSE. All
 * ranks of the axis make the same scans in the same order; in each direction, the bands of a
 * sequence follow one another.
 */
void rn_scan_set_segment(rn_scan *scan, int band, int bands);

/**
 * FORWARD scans that follow go on from `initial` in band 0, read on the first rank, and leave what
 * is behind the last band in `final`, written on the last rank. NULL: zero; nobody asks.
 *
 * Shapes:    both [layers, n, matrix], n as in the scans.
 * Ownership: the caller's, until the chain is told otherwise; final is whole after end().
 */
void rn_scan_set_boundary(rn_scan *scan, const float *initial, float *final);

/** Bytes of states that rank `rank` of `ranks` holds for a scan; little else is taken. */
size_t rn_scan_bytes(rn_scan_algorithm algorithm, rn_scan_shape shape, int rank, int ranks);

/** The rule of parallel.scan: auto, a function of ranks and bytes of one state alone. */
rn_scan_algorithm rn_scan_choose(int ranks, int64_t state_bytes);
const char *rn_scan_name(rn_scan_algorithm algorithm);

/** The algorithm, its blocks and what they were chosen by, in words: into text [bytes]. */
void rn_scan_describe(const rn_scan *scan, char *text, size_t bytes);

/** Bytes that this rank has sent, and seconds that it has waited for others, since create. */
int64_t rn_scan_bytes_sent(const rn_scan *scan);
double rn_scan_wait_s(const rn_scan *scan);

#endif
