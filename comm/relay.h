/**
 * Rows between the stages of a pipeline: activations to the next, their gradients to the one
 * before.
 *
 * Everything is started and completed apart, from the caller's own buffers: whoever posts its
 * receives ahead never makes a sender wait. Messages find each other by the number of their unit.
 */
#ifndef RN_COMM_RELAY_H
#define RN_COMM_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "comm/comm_thread.h"
#include "comm/grid.h"

typedef struct rn_relay rn_relay;

/** A message under way; null where nothing is. */
typedef struct rn_relay_message {
  MPI_Request request;
} rn_relay_message;

#define RN_RELAY_NOTHING ((rn_relay_message){MPI_REQUEST_NULL})

/** The two directions of a pipeline. */
typedef enum {
  RN_RELAY_ROWS,     /* activations: from a stage to the next */
  RN_RELAY_GRADIENTS /* from a stage to the one before */
} rn_relay_direction;

/** For rows of `width` floats. Collective: over the grid, which outlives the relay. */
rn_status rn_relay_create(rn_err *err, const rn_grid *grid, int width, rn_relay **out);
void rn_relay_destroy(rn_relay **relay);

/** From now on `thread` moves messages that are under way while the main thread computes. */
void rn_relay_use_thread(rn_relay *relay, rn_comm_thread *thread);

/** Whether this rank's stage has none before it, none behind it. */
bool rn_relay_is_first(const rn_relay *relay);
bool rn_relay_is_last(const rn_relay *relay);

/**
 * Starts sending a unit's rows [count, width] on in their direction. Collective:
 * with the neighbour's receive. Ownership: the rows stay untouched until rn_relay_wait.
 */
rn_status rn_relay_send(rn_err *err, rn_relay *relay, rn_relay_direction direction, int unit,
                        int64_t count, const float *rows, rn_relay_message *out);

/** Posts the receive of a unit's rows [count, width]; they are there after rn_relay_wait. */
rn_status rn_relay_receive(rn_err *err, rn_relay *relay, rn_relay_direction direction, int unit,
                           int64_t count, float *rows, rn_relay_message *out);

/** Completes a message, if there is one. */
rn_status rn_relay_wait(rn_err *err, rn_relay *relay, rn_relay_message *message);

/** Seconds spent in rn_relay_wait, and bytes sent, since create. */
double rn_relay_wait_s(const rn_relay *relay);
int64_t rn_relay_bytes_sent(const rn_relay *relay);

/**
 * values [count] of the first and of the last stage become their sum, first + last, on both: the
 * gradient of a weight that both hold. Other stages have nothing to do.
 *
 * Collective: over the first and the last stage of a pipeline of at least two.
 * Errors:     RN_ERR_MPI, RN_ERR_MEMORY.
 */
rn_status rn_relay_sum_ends(rn_err *err, rn_relay *relay, int64_t count, float *values);

/** The same for integers. */
rn_status rn_relay_sum_ends_exact(rn_err *err, rn_relay *relay, int64_t count, int64_t *values);

#endif
