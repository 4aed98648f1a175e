/**
 * A token that orders the ranks of a node that write one file: each rank writes after the previous
 * one, at the offset where that one ended.
 *
 * The ranks of a node are split into at most RN_WRITE_TOKEN_FILES rows of consecutive ranks, with
 * one file per row. The token is in memory that the node shares, so a thread that makes no MPI
 * calls can wait for it and pass it.
 */
#ifndef RN_COMM_WORLD_WRITE_TOKEN_H
#define RN_COMM_WORLD_WRITE_TOKEN_H

#include "comm/world/world.h"

/** Files that a node writes at a time; more do not help most file systems. */
enum { RN_WRITE_TOKEN_FILES = 4 };

typedef struct rn_write_token rn_write_token;

/**
 * Creates the tokens of all nodes.
 *
 * Collective: over the world, which outlives the object.
 * Errors:     RN_ERR_MEMORY, agreed; RN_ERR_MPI.
 */
rn_status rn_write_token_create(rn_err *err, const rn_world *world, rn_write_token **out);

/**
 * Takes NULL. Not called after an MPI failure.
 *
 * Collective: over the node.
 * Errors:     none.
 */
void rn_write_token_destroy(rn_write_token **write_token);

/**
 * World rank of the first writer of this rank's file, which identifies the file.
 * Not collective. Errors: none.
 */
int rn_write_token_first(const rn_write_token *write_token);

/**
 * Waits until the previous rank of the row passes the token; *offset is where it ended, 0 for the
 * first rank. All ranks of the node wait and pass equally often, and synchronise between
 * rounds.
 *
 * Collective: no MPI call; over the ranks of the row, in order.
 * Errors:     the status that the previous rank passed; RN_ERR_IO after rn_write_token_cancel.
 */
rn_status rn_write_token_wait(rn_err *err, rn_write_token *write_token, int64_t *offset);

/**
 * Passes the token: this rank ended at offset `end`, or failed with `status`. Follows every wait.
 * Not collective. Errors: none.
 */
void rn_write_token_pass(rn_write_token *write_token, rn_status status, int64_t end);

/**
 * Makes current and later waits on this rank fail, for a job that is ending. Any thread.
 * Not collective. Errors: none.
 */
void rn_write_token_cancel(rn_write_token *write_token);

#endif
