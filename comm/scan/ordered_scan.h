/**
 * The scan of reproducible mode: one left fold over a whole sequence, whoever holds its pieces.
 *
 * A rank takes the state in front of its piece, folds its own chunks onto it one by one (the model
 * does) and passes the result on, so the order of operations is that of one rank. Pieces are
 * striped: piece kS + s is band k of rank s; rank 0 goes on where rank S-1 of the band before
 * stopped. REVERSE runs the other way. Sends have buffers of their own and wait for nobody.
 */
#ifndef RN_COMM_SCAN_ORDERED_SCAN_H
#define RN_COMM_SCAN_ORDERED_SCAN_H

#include "comm/world/comm_thread.h"
#include "comm/world/grid.h"
#include "proto/ports/scan_port.h"

typedef struct rn_ordered_scan rn_ordered_scan;

/** Bytes of states that a fold holds. */
size_t rn_ordered_scan_bytes(int layers, int max_n, int64_t max_m);

/**
 * For `layers` layers and states of at most max_n heads of max_m elements.
 * Collective: over the sequence axis (of two ranks or more) of the grid, which outlives the fold.
 */
rn_status rn_ordered_scan_create(rn_err *err, const rn_grid *grid, int layers, int max_n,
                                 int64_t max_m, rn_ordered_scan **out);
void rn_ordered_scan_destroy(rn_ordered_scan **fold);

/** As rn_scan_use_thread. */
void rn_ordered_scan_use_thread(rn_ordered_scan *fold, rn_comm_thread *thread);

/** The port for the next unit, of `band` of `bands`; valid as long as the fold. */
rn_scan_port *rn_ordered_scan_port_of(rn_ordered_scan *fold, int band, int bands);

/** States from outside and for outside, as rn_scan_set_boundary: FORWARD only; NULL: zero, nobody.
 */
void rn_ordered_scan_set_boundary(rn_ordered_scan *fold, const float *initial, float *final);

/** Bytes that this rank has sent, and seconds that it has waited in end(), since create. */
int64_t rn_ordered_scan_bytes_sent(const rn_ordered_scan *fold);
double rn_ordered_scan_wait_s(const rn_ordered_scan *fold);

#endif
