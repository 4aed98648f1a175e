/** Sends states from the last rank of the sequence axis, which has the end of a sequence, to the
 * first rank, where the next sequence of the same stream begins. */
#ifndef RN_COMM_SCAN_WRAPAROUND_SEND_H
#define RN_COMM_SCAN_WRAPAROUND_SEND_H

#include "comm/world/grid.h"

/**
 * Copies the array `last` [count] of the last rank of the sequence axis to the array `first`
 * [count] of the first rank.
 *
 * Collective: over the sequence axis; other ranks do nothing. The arrays do not overlap.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_wraparound_send(rn_err *err, const rn_grid *grid, int64_t count, const float *last,
                             float *first);

#endif
