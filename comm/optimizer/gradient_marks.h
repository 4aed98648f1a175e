/**
 * Implements the counters with which the ranks of a node synchronise the reduce-scatter in peer
 * memory. Each rank publishes two of them, its marks: how many buckets of its own gradients are
 * complete, and how many buckets of all ranks' gradients it has read.
 *
 * Marks count buckets from the creation of the peer memory and never decrease. `peers` is NULL if
 * no ranks share memory: setting a mark then does nothing, and testing one returns true.
 */
#ifndef RN_COMM_OPTIMIZER_GRADIENT_MARKS_H
#define RN_COMM_OPTIMIZER_GRADIENT_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/optimizer/peer_memory.h"

/** Marks this rank's first `count` buckets as complete, so that the other ranks of the node may
 * read them. Not collective. Errors: none. */
void rn_gradient_mark_complete(const rn_peer_memory *peers, int64_t count);
/** Marks the first `count` buckets of all ranks of the node as read by this rank. Not collective.
 * Errors: none. */
void rn_gradient_mark_read(const rn_peer_memory *peers, int64_t count);
/** True if all ranks of the node have completed their first `count` buckets. Not collective.
 * Errors: none. */
bool rn_gradient_peers_have_completed(const rn_peer_memory *peers, int64_t count);
/** True if all ranks of the node have read the first `count` buckets. Not collective. Errors:
 * none. */
bool rn_gradient_peers_have_read(const rn_peer_memory *peers, int64_t count);

#endif
