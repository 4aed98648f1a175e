/**
 * Implements an array that the ranks of a node share: a node has one copy, in a shared-memory MPI
 * window. All ranks of the node read it; a rank may write only elements that no other rank accesses
 * at the same time.
 */
#ifndef RN_COMM_OPTIMIZER_SHARED_ARRAY_H
#define RN_COMM_OPTIMIZER_SHARED_ARRAY_H

#include <stdint.h>

#include "comm/world/node.h"

typedef struct rn_shared_array rn_shared_array;

/**
 * Returns the free bytes of shared memory (/dev/shm) on this host, minus a reserve for other users;
 * INT64_MAX if unknown. Not collective. Errors: none.
 */
int64_t rn_shared_array_free_bytes(void);

/**
 * Checks that every host has enough shared memory for the arrays of all stages on it. `bytes` is
 * the size of the array of this rank's stage.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_MEMORY, agreed, naming the host and the bytes needed and free; RN_ERR_MPI.
 */
rn_status rn_shared_array_check_space(rn_err *err, const rn_world *world, const rn_node *node,
                                      size_t bytes);

/**
 * Allocates one block of `bytes` of zeroed, 64-byte aligned memory per node; the memory is private
 * if the node has one rank.
 *
 * Collective: over the world. Errors: RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_shared_array_create(rn_err *err, const rn_world *world, const rn_node *node,
                                 const char *what, size_t bytes, rn_shared_array **out);
/**
 * Frees the memory; accepts NULL. Collective: over the ranks of the node; none of them may use the
 * memory afterwards.
 * Errors: none.
 */
void rn_shared_array_destroy(rn_shared_array **shared);

/** Returns the address of the array on this rank; an element has the same offset from it on all
 * ranks of the node. Not collective. Errors: none. */
void *rn_shared_array_memory(const rn_shared_array *shared);

#endif
