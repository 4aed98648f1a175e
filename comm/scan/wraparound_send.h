/** What the last rank of a sequence holds at its end becomes what the first one begins with. */
#ifndef RN_COMM_SCAN_WRAPAROUND_SEND_H
#define RN_COMM_SCAN_WRAPAROUND_SEND_H

#include "comm/world/grid.h"

/**
 * first [count] on the first rank of the sequence axis = last [count] on the last one.
 *
 * Collective: over the sequence axis; ranks between have nothing to do. The two arrays differ.
 */
rn_status rn_wraparound_send(rn_err *err, const rn_grid *grid, int64_t count, const float *last,
                             float *first);

#endif
