/**
 * A state on its way between two ranks: a buffer cut into blocks, each with a persistent request.
 *
 * No block mixes heads, so that a head which forgets what came before waits for no other, and so
 * that fewer heads are the first blocks of more.
 */
#ifndef RN_COMM_SCAN_SCAN_CHANNEL_H
#define RN_COMM_SCAN_SCAN_CHANNEL_H

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/range.h"
#include "proto/base/status.h"

/** How states [heads, matrix] are cut: `per_head` blocks of `block` elements, the last shorter. */
typedef struct rn_scan_blocks {
  int heads, per_head;
  int64_t matrix, block;
} rn_scan_blocks;

rn_scan_blocks rn_scan_blocks_make(int heads, int64_t matrix, int64_t block);
/** Head of a block, and its elements of [heads, matrix]. */
int rn_scan_block_head(const rn_scan_blocks *blocks, int block);
rn_range rn_scan_block_range(const rn_scan_blocks *blocks, int block);

typedef enum { RN_CHANNEL_SEND, RN_CHANNEL_RECEIVE } rn_channel_direction;

typedef struct rn_scan_channel {
  float *buffer;        /* [heads, matrix] */
  MPI_Request *request; /* [heads per_head], persistent; a block's tag is its number */
  int blocks;
} rn_scan_channel;

/** Links to `peer` of a communicator, which outlives them. Errors: RN_ERR_MEMORY. */
rn_status rn_scan_channel_create(rn_err *err, const rn_scan_blocks *blocks,
                                 rn_channel_direction way, int peer, MPI_Comm comm,
                                 rn_scan_channel *out);
/**
 * Takes zeroed and half-built links. A transfer that does not end, since another rank has failed,
 * clears *ended; then nothing is freed, nor waited for in the calls that follow.
 */
void rn_scan_channel_destroy(rn_scan_channel *link, bool *ended);

/** Waits until none of the link's blocks is on its way. */
rn_status rn_scan_channel_settle(rn_err *err, rn_scan_channel *link);

#endif
