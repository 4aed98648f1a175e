/**
 * The wrap-around connects consecutive segments: the last rank sends the state after its piece to
 * the first rank, which needs it in the next segment.
 *
 * The first rank posts the receive one segment ahead. Each layer has two buffers that alternate,
 * because the state of one segment is still being read while that of the next segment arrives.
 */
#ifndef RN_COMM_SCAN_SCAN_WRAPAROUND_H
#define RN_COMM_SCAN_SCAN_WRAPAROUND_H

#include "comm/scan/scan_ops.h"

/**
 * Creates the channels of this rank, if shape.segments > 1.
 *
 * Collective: no.
 * Errors:     those of rn_scan_channel_create.
 */
rn_status rn_scan_wraparound_create(rn_err *err, rn_scan *scan);
/** Destroys the channels. Collective: over the sequence axis. Errors: none; `ended` as in
 * rn_scan_channel_destroy. */
void rn_scan_wraparound_destroy(rn_scan *scan, bool *ended);

/** Returns the number of states that the rank at `position` allocates for one direction of the
 * wrap-around. Not collective. Errors: none. */
int rn_scan_wraparound_states(rn_scan_shape shape, int position, int ranks);

/**
 * Sets the wrap-around channels of the current scan and posts the receive for the next segment.
 *
 * Collective: no; it does not wait.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_scan_wraparound_begin(rn_err *err, rn_scan *scan);

/**
 * On the first rank, waits for the state of the previous segment and sets scan->before to it or, in
 * the first segment, to the state before the sequence. Does nothing on other ranks.
 *
 * Collective: with the last rank's rn_scan_wraparound_send of the previous segment.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_scan_wraparound_receive(rn_err *err, rn_scan *scan);

/**
 * On the last rank, sends the state after its piece to the first rank or, in the last segment,
 * writes the final state. Does nothing on other ranks.
 *
 * Collective: with the first rank's rn_scan_wraparound_begin; waits until an earlier send from the
 *             same buffer is complete.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_scan_wraparound_send(rn_err *err, rn_scan *scan);

#endif
