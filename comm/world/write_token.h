/**
 * Neighbours on a node write one file, each in its turn: where one ends, the next begins.
 *
 * The ranks of a node are cut into at most RN_WRITE_TOKEN_FILES rows. What a rank says to the next
 * lies in memory that the node shares, so a thread beside the one that speaks MPI can take its
 * turn.
 */
#ifndef RN_COMM_WORLD_WRITE_TOKEN_H
#define RN_COMM_WORLD_WRITE_TOKEN_H

#include "comm/world/world.h"

/** Files that a node writes at a time: what file systems serve well, whatever the ranks. */
enum { RN_WRITE_TOKEN_FILES = 4 };

typedef struct rn_write_token rn_write_token;

/**
 * Collective: over the world, which outlives it. Errors: RN_ERR_MEMORY, agreed.
 */
rn_status rn_write_token_create(rn_err *err, const rn_world *world, rn_write_token **out);

/** Takes NULL too. Collective: over the node; not after an MPI failure. */
void rn_write_token_destroy(rn_write_token **write_token);

/** The rank of the world that begins this rank's file: a name for it. */
int rn_write_token_first(const rn_write_token *write_token);

/**
 * Waits until the rank before has passed the turn on. Every rank takes as many turns as the others,
 * and all meet in between.
 *
 * *at is then where that one ended: 0 for the first of a row.
 * Errors: the status that the rank before has passed, or RN_ERR_IO after rn_write_token_give_up.
 */
rn_status rn_write_token_wait(rn_err *err, rn_write_token *write_token, int64_t *at);

/** Passes the turn on: this rank ended at `end`, or failed with `status`. Must follow every wait.
 */
void rn_write_token_pass(rn_write_token *write_token, rn_status status, int64_t end);

/** From now on no wait lasts; for a job that is failing. From any thread. */
void rn_write_token_give_up(rn_write_token *write_token);

#endif
