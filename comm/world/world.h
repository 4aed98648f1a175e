/**
 * All ranks of a job: start, agreement on errors, small exchanges, and an orderly end.
 *
 * Communicators are our own duplicates, errors come back as statuses, and a failure that ranks have
 * agreed on is printed once.
 */
#ifndef RN_COMM_WORLD_WORLD_H
#define RN_COMM_WORLD_WORLD_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

typedef struct rn_world rn_world;

/**
 * Starts MPI (MPI_THREAD_FUNNELED). Collective: over all ranks of the job.
 * Errors: RN_ERR_USAGE when the launcher says that there are more ranks than MPI sees.
 */
rn_status rn_world_start(rn_err *err, int *argc, char ***argv, rn_world **out);

/**
 * The same, and asks for MPI_THREAD_SERIALIZED, which comm/world/comm_thread.h needs;
 * rn_world_level tells whether the library gives it.
 */
rn_status rn_world_start_serialized(rn_err *err, int *argc, char ***argv, rn_world **out);

/** The same without a look at the launcher, for what does not compute. */
rn_status rn_world_open(rn_err *err, int *argc, char ***argv, rn_world **out);

/**
 * Ends MPI and gives the exit code. A status that all ranks agreed on is printed by rank 0; an MPI
 * failure is printed here and takes the job down. Collective unless MPI failed.
 */
int rn_world_finish(rn_world **world, rn_status status, const rn_err *err);

/**
 * The ranks of `world` with one color as a world of their own, in their order; a negative color
 * takes no part (*out NULL). Collective: over the world, which outlives its parts.
 */
rn_status rn_world_split(rn_err *err, const rn_world *world, int color, rn_world **out);
/** Gives a part back; MPI goes on. Collective: over the part. */
void rn_world_close(rn_world **part);

int rn_world_rank(const rn_world *world);
int rn_world_size(const rn_world *world);
/** Ranks on this node; this node's name. */
int rn_world_node_ranks(const rn_world *world);
const char *rn_world_host(const rn_world *world);
/** MPI_THREAD_FUNNELED or above: what MPI gives, but never more than was asked for; its name. */
int rn_world_level(const rn_world *world);
const char *rn_world_level_name(const rn_world *world);
MPI_Comm rn_world_comm(const rn_world *world);
/** Communicator of the ranks on this node, in world order. */
MPI_Comm rn_world_node_comm(const rn_world *world);

/**
 * The worst status of all ranks, on all ranks, with the text of the first rank that has it.
 * Collective: over the world. Closes local work that may fail on some ranks.
 */
rn_status rn_agree(rn_err *err, const rn_world *world, rn_status status);

/** Errors: RN_ERR_MISMATCH naming the first rank and host whose bytes differ from rank 0's. */
rn_status rn_world_check_same(rn_err *err, rn_world *world, const char *what, const void *bytes,
                              size_t count);

/**
 * Gathers bytes on rank 0: all, one rank's after the other, and sizes [ranks]; NULL elsewhere.
 *
 * Collective: over the world. Ownership: the caller frees both.
 * Errors: RN_ERR_MEMORY, agreed: no room on rank 0, or 2^31 bytes and more altogether.
 */
rn_status rn_world_gather_bytes(rn_err *err, rn_world *world, const void *mine, size_t count,
                                char **all, size_t **sizes);

/** Rank 0's bytes on all ranks; count and *bytes are set on the others (the caller frees). */
rn_status rn_world_broadcast(rn_err *err, rn_world *world, void *bytes, size_t count);

/** Element-wise maximum, or sum, on all ranks. */
rn_status rn_world_max(rn_err *err, rn_world *world, int64_t *values, int count);
rn_status rn_world_sum(rn_err *err, rn_world *world, int64_t *values, int count);

/** Sum of the ranks' numbers on the node where it is largest, on all ranks. */
rn_status rn_world_largest_node(rn_err *err, rn_world *world, int64_t mine, int64_t *out);

/** Everyone's number, on all ranks: all [size]. */
rn_status rn_world_gather_number(rn_err *err, rn_world *world, double mine, double *all);

rn_status rn_world_barrier(rn_err *err, rn_world *world);

#endif
