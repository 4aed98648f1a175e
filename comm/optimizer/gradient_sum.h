/**
 * Sums of gradients in a fixed order, and the marks by which ranks of a node tell each other which
 * gradients in peer memory are complete and which have been read. Used by the reduce-scatter.
 */
#ifndef RN_COMM_OPTIMIZER_GRADIENT_SUM_H
#define RN_COMM_OPTIMIZER_GRADIENT_SUM_H

#include <stdbool.h>

#include "comm/optimizer/peer_memory.h"

/** Element type of a reduction: float (FLOAT), summed in rank order, or int64_t (EXACT). */
typedef enum { RN_REDUCE_FLOAT, RN_REDUCE_EXACT } rn_reduce_kind;

/** Returns the bytes of an element. Not collective. Errors: none. */
size_t rn_reduce_kind_bytes(rn_reduce_kind kind);

/**
 * sum [count] = addend[0] + addend[1] + ... + addend[addends - 1], added in this order, by all
 * threads of the rank. addend[0] may be `sum`. Not collective. Errors: none.
 */
void rn_gradient_sum(rn_reduce_kind kind, int64_t count, const char *const *addend, int addends,
                     char *sum);

/* The marks are counts of buckets since the creation of the peer memory. `peers` may be NULL: no
 * rank shares memory, marking has no effect and the others have nothing to mark. */

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
