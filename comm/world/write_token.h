/**
 * A write token orders the writes of several ranks of a node to one file: each rank writes after
 * the previous one, at the offset where the previous one ended.
 *
 * The ranks of a node are split into at most RN_WRITE_TOKEN_FILES rows of consecutive ranks; each
 * row writes one file. The token is in memory shared by the node, so even a thread that must not
 * call MPI can wait for it and pass it.
 */
#ifndef RN_COMM_WORLD_WRITE_TOKEN_H
#define RN_COMM_WORLD_WRITE_TOKEN_H

#include "comm/world/world.h"

/** Maximum number of files that a node writes at a time; more would not be faster on most file
 * systems. */
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
 * Frees the object; accepts NULL. Must not be called after an MPI failure.
 *
 * Collective: over the node.
 * Errors:     none.
 */
void rn_write_token_destroy(rn_write_token **write_token);

/**
 * Returns the world rank of the first rank that writes to this rank's file; it identifies the file.
 * Not collective. Errors: none.
 */
int rn_write_token_first(const rn_write_token *write_token);

/**
 * Waits until the previous rank of the row passes the token. Sets *offset to the offset at which
 * the data of that rank ends; to 0 on the first rank. All ranks of the node must call wait and pass
 * the same number of times, and must synchronise between rounds.
 *
 * Collective: over the ranks of the row, in order; makes no MPI call.
 * Errors:     the status that the previous rank passed; RN_ERR_IO after rn_write_token_cancel.
 */
rn_status rn_write_token_wait(rn_err *err, rn_write_token *write_token, int64_t *offset);

/**
 * Passes the token: the data of this rank ends at offset `end`, or the rank failed with `status`.
 * Must be called after every wait, even a failed one.
 * Not collective. Errors: none.
 */
void rn_write_token_pass(rn_write_token *write_token, rn_status status, int64_t end);

/**
 * Makes current and later waits on this rank fail; used when the job is ending. Any thread may call
 * it.
 * Not collective. Errors: none.
 */
void rn_write_token_cancel(rn_write_token *write_token);

#endif
