/**
 * The fault site `scan.message` (proto/base/fault.h): blocks of a scan channel arrive later than
 * they were sent, as over a slow network, while their sender goes on.
 *
 * The sender sends the time of each block in a message of its own; the receiver holds the block
 * back until its delay has passed. Both ranks must be started with the site set, on one host, whose
 * clock they share.
 */
#ifndef RN_COMM_SCAN_SCAN_DELAY_H
#define RN_COMM_SCAN_SCAN_DELAY_H

#include <mpi.h>

#include "proto/base/status.h"

typedef struct rn_scan_delay rn_scan_delay;

/**
 * Creates the delay of `blocks` blocks to or from `peer`; *out is NULL if the site is not set.
 *
 * Collective: no.
 * Errors:     RN_ERR_MEMORY, not agreed.
 */
rn_status rn_scan_delay_create(rn_err *err, int blocks, int peer, MPI_Comm comm,
                               rn_scan_delay **out);
/** Takes NULL. Collective: with the peer, which has received the times. Errors: none. */
void rn_scan_delay_destroy(rn_scan_delay **delay);

/** Sends the time of a block, before the block itself. Not collective. Errors: RN_ERR_MPI. */
rn_status rn_scan_delay_send(rn_err *err, rn_scan_delay *delay, int block);

/**
 * Takes the blocks [*count] that have arrived (*count < 0: none) and replaces them by those whose
 * delay has passed; each block is returned once. blocks has capacity for all blocks of the channel.
 *
 * Collective: no; the peer has sent the times of the blocks before them.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_scan_delay_filter(rn_err *err, rn_scan_delay *delay, int *count, int *blocks);

#endif
