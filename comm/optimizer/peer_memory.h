/**
 * Gives each rank memory that the other ranks of its node read in place.
 *
 * Each rank owns one block, and only this rank writes it; the replicas of its stage on the same
 * node map the block for reading. The blocks are anonymous files (memfd_create): they use no space
 * of /dev/shm, and the system frees them when the last process that maps them ends, even if it is
 * killed. A page of a block is placed near the thread that first writes it.
 */
#ifndef RN_COMM_OPTIMIZER_PEER_MEMORY_H
#define RN_COMM_OPTIMIZER_PEER_MEMORY_H

#include <stddef.h>

#include "comm/world/node.h"

typedef struct rn_peer_memory rn_peer_memory;

/** Size in bytes of the area for marks in front of each block. Marks are counters that the owner of
 * the block sets and the other ranks of the node read (comm/optimizer/gradient_marks.h). */
enum { RN_PEER_MARKS_BYTES = 4032 };

/**
 * Creates a block of `bytes` of zeroed, 64-byte aligned memory on each rank, and maps the blocks of
 * the other ranks of the node. A rank that is alone on its node has private memory.
 *
 * Collective: over the world. Ownership: the node outlives the memory.
 * Errors:     RN_ERR_MEMORY, agreed, naming the host, if a rank cannot create its block or map
 *             another one (for example in containers with separate PID namespaces); RN_ERR_MPI.
 */
rn_status rn_peer_memory_create(rn_err *err, const rn_world *world, const rn_node *node,
                                const char *what, size_t bytes, rn_peer_memory **out);
/** Unmaps the blocks; accepts NULL. Other ranks that have mapped this rank's block may still read
 * it.
 * Collective: no. Errors: none. */
void rn_peer_memory_destroy(rn_peer_memory **memory);

/** Returns the node whose ranks share the memory. Not collective. Errors: none. */
const rn_node *rn_peer_memory_node(const rn_peer_memory *memory);
/** Returns the number of replicas, on all nodes. Not collective. Errors: none. */
int rn_peer_memory_replicas(const rn_peer_memory *memory);

/** Returns this rank's block. Not collective. Errors: none. */
void *rn_peer_memory_own(const rn_peer_memory *memory);
/** Returns the block of a replica on this node, or NULL if it is on another node. Not collective.
 * Errors: none. */
const void *rn_peer_memory_of(const rn_peer_memory *memory, int replica);

/** The first function returns the marks of this rank, the second the marks of a replica on this
 * node. All marks are 0 at creation. Not collective. Errors: none. */
void *rn_peer_memory_own_marks(const rn_peer_memory *memory);
const void *rn_peer_memory_marks_of(const rn_peer_memory *memory, int replica);

/**
 * Unmaps from this process the pages that hold `bytes` bytes of a replica's block, starting at
 * offset `begin`, so that the system no longer counts them as memory of this process. The next read
 * maps them again. Has no effect on this rank's own block. Not collective. Errors: none.
 */
void rn_peer_memory_drop(const rn_peer_memory *memory, int replica, size_t begin, size_t bytes);

#endif
