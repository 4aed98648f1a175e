/**
 * An array that the ranks of a node hold once: memory of an MPI window that all of them read, and
 * each writes where it was agreed that nobody else looks.
 */
#ifndef RN_COMM_OPTIMIZER_SHARED_ARRAY_H
#define RN_COMM_OPTIMIZER_SHARED_ARRAY_H

#include <stdint.h>

#include "comm/world/node.h"

typedef struct rn_shared_array rn_shared_array;

/** Bytes of memory that ranks of this host can still share (files in /dev/shm); INT64_MAX: unknown.
 */
int64_t rn_shared_array_free_bytes(void);

/**
 * Whether every host has room for the shared arrays of all its stages, `bytes` of this rank's.
 *
 * Collective: over the world.
 * Errors:     RN_ERR_MEMORY, agreed, naming host, need and room.
 */
rn_status rn_shared_array_check_space(rn_err *err, const rn_world *world, const rn_node *node,
                                      size_t bytes);

/**
 * Zeroed, 64-byte aligned memory of `bytes`: one for the ranks of a node; a rank that is alone on
 * its node has memory of its own.
 *
 * Collective: over the world. Errors: RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_shared_array_create(rn_err *err, const rn_world *world, const rn_node *node,
                                 const char *what, size_t bytes, rn_shared_array **out);
/** Collective: over the node, whose ranks use it no more. */
void rn_shared_array_destroy(rn_shared_array **shared);

void *rn_shared_array_memory(const rn_shared_array *shared);

#endif
