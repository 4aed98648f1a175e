/**
 * The ring of bands: the state behind the last rank goes to the first one, for the next band.
 *
 * The receive is posted when the first rank begins the band before, into a buffer of the layer's
 * own; two in turn, since one band's state is still read while the next is on its way.
 */
#ifndef RN_COMM_SCAN_SCAN_WRAPAROUND_H
#define RN_COMM_SCAN_SCAN_WRAPAROUND_H

#include "comm/scan/scan_internal.h"

rn_status rn_scan_wraparound_create(rn_err *err, rn_scan *scan);
void rn_scan_wraparound_destroy(rn_scan *scan, bool *ended);

/** Sets where the scan at hand comes from and goes to, and posts the receive of the next band. */
rn_status rn_scan_wraparound_begin(rn_err *err, rn_scan *scan, int layer);

/** At the first rank, waits for the state of the band before; sets `before` to what it starts from.
 */
rn_status rn_scan_wraparound_receive(rn_err *err, rn_scan *scan);

/** At the last rank, sends the state behind its piece to the next band, or leaves what remains. */
rn_status rn_scan_wraparound_send(rn_err *err, rn_scan *scan);

#endif
