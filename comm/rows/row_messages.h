/** Implements two lists of pending messages that transfer rows: a list of sends and a list of
 * receives. All rows have the same size. */
#ifndef RN_COMM_ROWS_ROW_MESSAGES_H
#define RN_COMM_ROWS_ROW_MESSAGES_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

typedef struct rn_row_messages {
  bool connected; /* true if this object owns `comm` and `type` */
  MPI_Comm comm;
  MPI_Datatype type; /* MPI type of a row */
  int capacity, sends, receives;
  MPI_Request *send, *receive; /* [capacity] */
} rn_row_messages;

/** Returns the size in bytes of both lists together, each with capacity `capacity`. Not collective.
 * Errors: none. */
size_t rn_row_messages_bytes(int capacity);
/** Creates empty lists for at most `capacity` sends and `capacity` receives; call
 * rn_row_messages_connect next. Not collective. Errors: RN_ERR_MEMORY, not agreed. */
rn_status rn_row_messages_create(rn_err *err, int capacity, rn_row_messages *out);
/**
 * Sets the size of a row to `bytes` bytes, and duplicates `comm` for the messages.
 * Collective: over `comm`.
 * Errors:     RN_ERR_MPI.
 */
rn_status rn_row_messages_connect(rn_err *err, rn_row_messages *messages, MPI_Comm comm,
                                  size_t bytes);
/** Makes the lists use the communicator and the row type of `owner`, which must be destroyed after
 * them. Not collective. Errors: none. */
void rn_row_messages_attach(rn_row_messages *messages, const rn_row_messages *owner);
/**
 * Frees the lists; accepts zeroed and partly built lists. If a message does not complete because
 * another rank has failed, sets *ended to false. Frees nothing if *ended is false on entry or on
 * return.
 * Collective: over the communicator. Errors: none.
 */
void rn_row_messages_destroy(rn_row_messages *messages, bool *ended);

/** Consecutive rows that are sent to or received from `peer`. */
typedef struct rn_row_message {
  void *rows;
  int64_t count;
  int peer, tag;
} rn_row_message;

/** Starts a send if `send` is true, else a receive. Not collective. Errors: RN_ERR_MPI. */
rn_status rn_row_messages_post(rn_err *err, rn_row_messages *messages, bool send,
                               rn_row_message message);

/** Waits until all receives are complete. Collective: with the senders. Errors: RN_ERR_MPI. */
rn_status rn_row_messages_receive(rn_err *err, rn_row_messages *messages);
/** Waits until all sends and receives are complete. Collective: with the peers. Errors: RN_ERR_MPI.
 */
rn_status rn_row_messages_wait(rn_err *err, rn_row_messages *messages);

#endif
