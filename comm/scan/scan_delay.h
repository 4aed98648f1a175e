/**
 * Implements the fault site `scan.message` (proto/base/fault.h), which delays the arrival of the
 * blocks of a scan channel, as a slow network would, without delaying the sender.
 *
 * For each block, the sender sends its send time in a separate message; the receiver does not
 * return the block until the delay has passed since that time. RETNET_FAULT must name the site on
 * both ranks, and both must run on one host, because they compare times of that host's clock.
 */
#ifndef RN_COMM_SCAN_SCAN_DELAY_H
#define RN_COMM_SCAN_SCAN_DELAY_H

#include <mpi.h>
#include <stdbool.h>

#include "proto/base/status.h"

typedef struct rn_scan_delay rn_scan_delay;

/**
 * Creates the delay of a channel of `blocks` blocks to or from `peer`; *out is NULL if RETNET_FAULT
 * does not name the site.
 *
 * Collective: no.
 * Errors:     RN_ERR_MEMORY, not agreed.
 */
rn_status rn_scan_delay_create(rn_err *err, int blocks, int peer, MPI_Comm comm,
                               rn_scan_delay **out);
/** Waits until the messages with send times are complete, then frees the object; accepts NULL.
 * Collective: with the peer. Errors: none; `ended` as in rn_scan_channel_destroy. */
void rn_scan_delay_destroy(rn_scan_delay **delay, bool *ended);

/** Sends the send time of a block; called before the block itself is sent. Not collective. Errors:
 * RN_ERR_MPI. */
rn_status rn_scan_delay_send(rn_err *err, rn_scan_delay *delay, int block);

/**
 * On entry, blocks [*count] lists the blocks that have arrived since the last call (none if
 * *count is negative); on return, it lists the blocks whose delay has passed since the last call.
 * `blocks` has capacity for all blocks of the channel.
 *
 * Collective: no; the peer must have called rn_scan_delay_send for each block.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_scan_delay_filter(rn_err *err, rn_scan_delay *delay, int *count, int *blocks);

/** Returns the latest time (of rn_clock_s) until which a block that has arrived is held back; 0 if
 * no block is held back. Not collective. Errors: none. */
double rn_scan_delay_until_s(const rn_scan_delay *delay);

#endif
