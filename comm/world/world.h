/**
 * The world is all ranks of a job. This module starts and ends MPI, agrees on errors, and provides
 * small collective operations.
 *
 * All communicators are duplicates. MPI errors are returned as statuses. A failure on which the
 * ranks have agreed is printed once. "Agreed" in an Errors list means that all ranks of the
 * collective call return the same error (rn_agree).
 */
#ifndef RN_COMM_WORLD_WORLD_H
#define RN_COMM_WORLD_WORLD_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

typedef struct rn_world rn_world;

/**
 * Starts MPI with MPI_THREAD_FUNNELED.
 *
 * Collective: over all ranks of the job.
 * Errors:     RN_ERR_USAGE if MPI has one rank but the launcher reports more; RN_ERR_LIBRARY if MPI
 *             does not provide MPI_THREAD_FUNNELED; RN_ERR_MEMORY; RN_ERR_MPI. These errors are not
 *             agreed: some ranks may fail while others succeed. *out may be set even on failure;
 *             pass it to rn_world_finish.
 */
rn_status rn_world_start(rn_err *err, int *argc, char ***argv, rn_world **out);

/**
 * Like rn_world_start, but requests MPI_THREAD_SERIALIZED, which comm/world/comm_thread.h needs;
 * rn_world_level returns the level that is provided. Collective and Errors: as for rn_world_start.
 */
rn_status rn_world_start_serialized(rn_err *err, int *argc, char ***argv, rn_world **out);

/**
 * Like rn_world_start, but without the check of the launcher; for programs that do not compute.
 *
 * Collective: over all ranks of the job.
 * Errors:     RN_ERR_LIBRARY, RN_ERR_MEMORY, RN_ERR_MPI, as for rn_world_start.
 */
rn_status rn_world_open(rn_err *err, int *argc, char ***argv, rn_world **out);

/**
 * Ends MPI and returns the exit code of `status`. Rank 0 prints a failure that all ranks agreed on;
 * a rank with an MPI failure prints it and aborts the job.
 *
 * Collective: over the world, unless `status` is RN_ERR_MPI.
 * Errors:     none; returns the exit code of RN_ERR_IO if standard output could not be written.
 */
int rn_world_finish(rn_world **world, rn_status status, const rn_err *err);

/**
 * Prints an MPI failure and aborts the job, as rn_world_finish does. For code that cannot return
 * RN_ERR_MPI to its caller soon. Not collective. Errors: none.
 */
void rn_world_abort(const rn_err *err);

/**
 * Splits `world` into one subset per color, in which the ranks keep their order; *out is NULL on
 * ranks with a negative color.
 *
 * Collective: over the world, which outlives its subsets.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_world_split(rn_err *err, const rn_world *world, int color, rn_world **out);
/** Frees a subset that rn_world_split created, without ending MPI; accepts NULL. Collective: over
 * the subset. Errors: none. */
void rn_world_close(rn_world **subset);

/** Returns this process's rank. Not collective. Errors: none. */
int rn_world_rank(const rn_world *world);
/** Returns the number of ranks. Not collective. Errors: none. */
int rn_world_size(const rn_world *world);
/** Returns the number of ranks on this node. Not collective. Errors: none. */
int rn_world_node_ranks(const rn_world *world);
/** Returns the name of this node. Not collective. Errors: none. */
const char *rn_world_host(const rn_world *world);
/**
 * Returns the MPI thread level: the lower of the requested and the provided level.
 * Not collective. Errors: none.
 */
int rn_world_level(const rn_world *world);
/** Returns the name of the thread level, such as MPI_THREAD_FUNNELED. Not collective. Errors: none.
 */
const char *rn_world_level_name(const rn_world *world);
/** Returns the communicator of the world: a duplicate of MPI_COMM_WORLD or, for a subset, a
 * communicator that was split from it.
 * Not collective.
 * Errors: none. */
MPI_Comm rn_world_comm(const rn_world *world);
/** Returns the communicator of the ranks on this node, in world order. Not collective. Errors:
 * none. */
MPI_Comm rn_world_node_comm(const rn_world *world);

/**
 * Agrees on a status: all ranks return the largest status of any rank, with the text of the first
 * rank that has it. The text begins with this rank and its host, unless an earlier agreement has
 * already put a rank there: "rank 1 on host: ...". Call it after local work that may fail on some
 * ranks only, before the next communication. A rank that passes RN_ERR_MPI gets it back without
 * communication, and must then end the job with rn_world_finish(); the other ranks may be waiting
 * in other MPI calls. Collective: over the world. Errors: the agreed status; RN_ERR_MPI.
 */
rn_status rn_agree(rn_err *err, const rn_world *world, rn_status status);

/**
 * Checks that bytes [count] are the same on all ranks, by comparing 64-bit hashes. Collective: over
 * the world.
 * Errors: RN_ERR_MISMATCH, agreed, naming `what` and the first rank that differs from rank 0, with
 *         its host; RN_ERR_MPI.
 */
rn_status rn_world_check_same(rn_err *err, rn_world *world, const char *what, const void *bytes,
                              size_t count);

/**
 * Gathers bytes on rank 0: *all holds the bytes of all ranks, concatenated and followed by a
 * zero byte, and *sizes [ranks] their counts. Both are NULL on other ranks.
 *
 * Collective: over the world. Ownership: the caller frees both.
 * Errors:     RN_ERR_MEMORY, agreed: out of memory, or 2^31 bytes or more in total; RN_ERR_MPI.
 */
rn_status rn_world_gather_bytes(rn_err *err, rn_world *world, const void *mine, size_t count,
                                char **all, size_t **sizes);

/**
 * Gathers bytes on the first rank of each node: *all holds the bytes of the node's ranks,
 * concatenated, and then a zero byte; *all is NULL on other ranks.
 *
 * Collective: over the world. Ownership: the caller frees *all.
 * Errors:     as for rn_world_gather_bytes.
 */
rn_status rn_world_gather_node_bytes(rn_err *err, rn_world *world, const void *mine, size_t count,
                                     char **all);

/**
 * Copies bytes [count] of rank 0 to the buffers of all other ranks. All ranks pass the same count.
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_world_broadcast(rn_err *err, rn_world *world, void *bytes, size_t count);

/** Replaces values [count] by their element-wise maximum over the ranks. Collective: over the
 * world. Errors: RN_ERR_MPI. */
rn_status rn_world_max(rn_err *err, rn_world *world, int64_t *values, int count);

/** Replaces values [count] by their element-wise sum over the ranks. Collective: over the world.
 * Errors: RN_ERR_MPI. */
rn_status rn_world_sum(rn_err *err, rn_world *world, int64_t *values, int count);

/**
 * Sums `mine` over the ranks of each node; *out is the largest of these sums, on all ranks.
 * Collective: over the world. Errors: RN_ERR_MPI.
 */
rn_status rn_world_largest_node(rn_err *err, rn_world *world, int64_t mine, int64_t *out);

/** Gathers `mine` of each rank into the array `all` [ranks] on every rank.
 * Collective: over the world. Errors: RN_ERR_MPI. */
rn_status rn_world_all_gather_double(rn_err *err, rn_world *world, double mine, double *all);

/** Waits for all ranks. Collective: over the world. Errors: RN_ERR_MPI. */
rn_status rn_world_barrier(rn_err *err, rn_world *world);

#endif
