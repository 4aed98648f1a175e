/**
 * A channel transfers states between two ranks. It consists of a buffer of blocks and their
 * persistent requests.
 *
 * Each block belongs to one head, so a head whose factor is 0 need not wait for other heads. A scan
 * with fewer heads than the channel uses only its first blocks.
 */
#ifndef RN_COMM_SCAN_SCAN_CHANNEL_H
#define RN_COMM_SCAN_SCAN_CHANNEL_H

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

#include "comm/scan/scan_delay.h"
#include "proto/base/range.h"
#include "proto/base/status.h"

/** Describes the split of states [heads, matrix] into `per_head` blocks of `block` elements per
 * head; the last block of a head may be shorter. */
typedef struct rn_scan_blocks {
  int heads, per_head;
  int64_t matrix, block;
} rn_scan_blocks;

/** Returns the split of [heads, matrix] into blocks of `block` elements. Not collective. Errors:
 * none. */
rn_scan_blocks rn_scan_blocks_make(int heads, int64_t matrix, int64_t block);
/** Returns the head that a block belongs to. Not collective. Errors: none. */
int rn_scan_block_head(const rn_scan_blocks *blocks, int block);
/** Returns the range of a block's elements in [heads, matrix]. Not collective. Errors: none. */
rn_range rn_scan_block_range(const rn_scan_blocks *blocks, int block);

typedef enum { RN_CHANNEL_SEND, RN_CHANNEL_RECEIVE } rn_channel_direction;

typedef struct rn_scan_channel {
  float *buffer;        /* [heads, matrix] */
  MPI_Request *request; /* [heads * per_head], persistent; the tag is the block index */
  int blocks;
  rn_scan_delay *delay; /* NULL unless a test delays messages */
} rn_scan_channel;

/**
 * Creates a channel to or from `peer` of a communicator, which outlives the channel.
 *
 * Collective: no.
 * Errors:     RN_ERR_MEMORY, RN_ERR_MPI, not agreed.
 */
rn_status rn_scan_channel_create(rn_err *err, const rn_scan_blocks *blocks,
                                 rn_channel_direction direction, int peer, MPI_Comm comm,
                                 rn_scan_channel *out);
/**
 * Destroys a channel; accepts zeroed and partly built channels. If a transfer does not complete
 * because another rank has failed, sets *ended to false; this call then frees nothing, and later
 * calls with the same `ended` neither wait nor free anything.
 *
 * Collective: with the peer.
 * Errors:     none.
 */
void rn_scan_channel_destroy(rn_scan_channel *channel, bool *ended);

/** Starts the send of a block. Not collective. Errors: RN_ERR_MPI. */
rn_status rn_scan_channel_send(rn_err *err, rn_scan_channel *channel, int block);

/**
 * Tests the receives of the first `blocks` blocks, at least one of which must be pending. On
 * return, received [*count] lists the blocks that arrived since the last call. Not collective.
 * Errors: RN_ERR_MPI.
 */
rn_status rn_scan_channel_test(rn_err *err, rn_scan_channel *channel, int blocks, int *count,
                               int *received);

/**
 * Waits until no block of the channel is in flight.
 *
 * Collective: with the peer, which must start the matching transfers.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_scan_channel_wait(rn_err *err, rn_scan_channel *channel);

#endif
