/**
 * The ring of bands: the state behind the last rank goes to the first one, for the next band.
 *
 * The receive is posted when the first rank begins the band before, into a buffer of the layer's
 * own; two in turn, since one band's state is still read while the next is on its way.
 */
#ifndef RN_COMM_SCAN_RING_H
#define RN_COMM_SCAN_RING_H

#include "comm/scan.h"

rn_status rn_scan_ring_create(rn_err *err, rn_chain *chain);
void rn_scan_ring_destroy(rn_chain *chain, bool *ended);

/** Sets where the scan at hand comes from and goes to, and posts the receive of the next band. */
rn_status rn_scan_ring_begin(rn_err *err, rn_chain *chain, int layer);

/** At the first rank, waits for the state of the band before; sets `before` to what it starts from.
 */
rn_status rn_scan_ring_receive(rn_err *err, rn_chain *chain);

/** At the last rank, sends the state behind its piece to the next band, or leaves what remains. */
rn_status rn_scan_ring_send(rn_err *err, rn_chain *chain);

#endif
