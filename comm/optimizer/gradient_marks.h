/**
 * The marks by which ranks of a node tell each other which gradients in peer memory are complete,
 * and which have been read. Used by the reduce-scatter.
 *
 * Marks are counts of buckets since the creation of the peer memory. `peers` may be NULL: no rank
 * shares memory, marking has no effect and the others have nothing to mark.
 */
#ifndef RN_COMM_OPTIMIZER_GRADIENT_MARKS_H
#define RN_COMM_OPTIMIZER_GRADIENT_MARKS_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/optimizer/peer_memory.h"

/** Tells the other ranks of the node that they may read this rank's first `count` buckets. Not
 * collective. Errors: none. */
void rn_gradient_mark_complete(const rn_peer_memory *peers, int64_t count);
/** Tells them that this rank has read all gradients of the first `count` buckets. Not collective.
 * Errors: none. */
void rn_gradient_mark_read(const rn_peer_memory *peers, int64_t count);
/** True if all ranks of the node have completed their first `count` buckets. Not collective.
 * Errors: none. */
bool rn_gradient_peers_have_completed(const rn_peer_memory *peers, int64_t count);
/** True if all ranks of the node have read the first `count` buckets. Not collective. Errors:
 * none. */
bool rn_gradient_peers_have_read(const rn_peer_memory *peers, int64_t count);

#endif
