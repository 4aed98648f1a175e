/**
 * An array of which the ranks of a node hold one copy, in a shared-memory MPI window. All of them
 * read it; a rank writes only elements that no other rank accesses at that time.
 */
#ifndef RN_COMM_OPTIMIZER_SHARED_ARRAY_H
#define RN_COMM_OPTIMIZER_SHARED_ARRAY_H

#include <stdint.h>

#include "comm/world/node.h"

typedef struct rn_shared_array rn_shared_array;

/**
 * Bytes of shared memory still free on this host (/dev/shm), less a reserve for other users;
 * INT64_MAX: unknown. Not collective. Errors: none.
 */
int64_t rn_shared_array_free_bytes(void);

/**
 * Checks that every host has enough shared memory for the arrays of all its stages; `bytes` is the
 * size of the array of this rank's stage.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_MEMORY, agreed, naming the host and the bytes needed and free; RN_ERR_MPI.
 */
rn_status rn_shared_array_check_space(rn_err *err, const rn_world *world, const rn_node *node,
                                      size_t bytes);

/**
 * Allocates `bytes` of zeroed, 64-byte aligned memory, once per node; private memory if the node
 * has one rank.
 *
 * Collective: over the world. Errors: RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_shared_array_create(rn_err *err, const rn_world *world, const rn_node *node,
                                 const char *what, size_t bytes, rn_shared_array **out);
/**
 * Takes NULL. Collective: over the ranks of the node; none of them uses the memory any more.
 * Errors: none.
 */
void rn_shared_array_destroy(rn_shared_array **shared);

/** The memory, at the same offsets on all ranks of the node. Not collective. Errors: none. */
void *rn_shared_array_memory(const rn_shared_array *shared);

#endif
